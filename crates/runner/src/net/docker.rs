//! Other people's forwarding rules: Docker leaves a chain that drops by default, which no accept of ours can undo,
//! and a chain `DOCKER-USER` for exceptions, which is where ours go.

use linux::errno::CallError;
use linux::netlink::Socket;
use linux::nft::inspect::{self, InstalledChain};
use linux::nft::rule::{Side, Statement};
use linux::nft::{Family, Transaction};

use crate::net::address::Names;

const TABLE: &str = "filter";
const FORWARD: &str = "FORWARD";
const EXCEPTIONS: &str = "DOCKER-USER";

/// Makes exceptions for our links where Docker foresees them. Returns a sentence for each chain that drops what
/// sandboxes send and that we must not touch.
pub(super) fn open_path(
    socket: &mut Socket,
    names: &Names,
    resolver_port: u16,
) -> Result<Vec<String>, CallError> {
    let chains = inspect::list_chains(socket)?;
    let has_exceptions = has_exceptions(&chains);
    let drops = |chain: &&InstalledChain| {
        (chain.forwards || chain.receives) && chain.drops_by_default && chain.table != names.table
    };
    let mut warnings = Vec::new();
    let mut needed = false;
    for chain in chains.iter().filter(drops) {
        if chain.receives {
            warnings.push(format!(
                "chain {} of table {} drops what arrives by default: sandboxes with an allow list resolve no name \
                 unless it accepts port {resolver_port} from the links {}*",
                chain.name, chain.table, names.link_prefix
            ));
        } else if chain.family == Family::Ipv4
            && chain.table == TABLE
            && chain.name == FORWARD
            && has_exceptions
        {
            needed = true;
        } else {
            warnings.push(format!(
                "chain {} of table {} drops forwarded packets by default: sandboxes reach nothing unless it accepts \
                 packets from and to the links {}*",
                chain.name, chain.table, names.link_prefix
            ));
        }
    }
    let mut transaction = if has_exceptions { removal(socket, names)? } else { empty() };
    if needed {
        for side in [Side::In, Side::Out] {
            let rule = [Statement::LinkPrefix(side, names.link_prefix.clone()), Statement::Accept];
            transaction.prepend_rule(EXCEPTIONS, &rule, &comment(names));
        }
    }
    transaction.commit(socket)?;
    Ok(warnings)
}

/// Takes our exceptions back.
pub(super) fn close_path(socket: &mut Socket, names: &Names) -> Result<(), CallError> {
    if has_exceptions(&inspect::list_chains(socket)?) {
        removal(socket, names)?.commit(socket)?;
    }
    Ok(())
}

fn has_exceptions(chains: &[InstalledChain]) -> bool {
    let is = |chain: &InstalledChain| {
        chain.family == Family::Ipv4 && chain.table == TABLE && chain.name == EXCEPTIONS
    };
    chains.iter().any(is)
}

fn empty() -> Transaction {
    Transaction::of(Family::Ipv4, TABLE)
}

fn removal(socket: &mut Socket, names: &Names) -> Result<Transaction, CallError> {
    let mut transaction = empty();
    for rule in inspect::list_rules(socket, Family::Ipv4, TABLE, EXCEPTIONS)? {
        if rule.comment == comment(names) {
            transaction.delete_rule(EXCEPTIONS, rule.handle);
        }
    }
    Ok(transaction)
}

fn comment(names: &Names) -> String {
    format!("sandbox links of {}", names.table)
}
