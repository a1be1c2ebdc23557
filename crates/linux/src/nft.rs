//! Packet filter rules: one transaction changes a table as a whole or not at all (nft(8), over netlink(7)).

mod wire;
pub mod rule;
pub mod set;
pub mod inspect;
pub mod flow;

use crate::errno::CallError;
use crate::netlink::attribute::Attributes;
use crate::netlink::{Message, Socket};
use rule::Statement;
use set::{Element, KeyKind};
pub use wire::Family;
use wire::{chain, rule as rule_number, set as set_number, table};

/// An element takes at most some 330 bytes, with its comment, and the list of them in one message at most 65,535.
const ELEMENTS_PER_MESSAGE: usize = 190;

/// Where in a packet's way a base chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Everything that arrives, before connection tracking and routing.
    RawPrerouting,
    /// The first packet of a connection that arrives, where destinations are rewritten.
    DestinationNat,
    /// What is for this host.
    Input,
    /// What passes through this host.
    Forward,
    /// What this host sends.
    Output,
    /// Everything that leaves, where sources are rewritten.
    SourceNat,
}

impl Hook {
    /// The kind of chain, the hook's number, and the priority among the chains of the hook.
    const fn describe(self) -> (&'static str, i32, i32) {
        match self {
            Self::RawPrerouting => ("filter", libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_RAW),
            Self::DestinationNat => ("nat", libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_NAT_DST),
            Self::Input => ("filter", libc::NF_INET_LOCAL_IN, libc::NF_IP_PRI_FILTER),
            Self::Forward => ("filter", libc::NF_INET_FORWARD, libc::NF_IP_PRI_FILTER),
            Self::Output => ("filter", libc::NF_INET_LOCAL_OUT, libc::NF_IP_PRI_FILTER),
            Self::SourceNat => ("nat", libc::NF_INET_POST_ROUTING, libc::NF_IP_PRI_NAT_SRC),
        }
    }
}

/// Changes to one table that the kernel makes all at once, or not at all.
#[derive(Debug)]
pub struct Transaction {
    family: Family,
    table: String,
    messages: Vec<Message>,
    sets: u32,
}

impl Transaction {
    /// Starts with no change to the table.
    pub fn of(family: Family, table: &str) -> Self {
        Self { family, table: table.to_owned(), messages: Vec::new(), sets: 0 }
    }

    /// Empties the table by removing it and all in it, if it exists, and making it anew. A packet that is on its way
    /// through the old rules may find their sets empty already: to change rules under traffic, empty chains and
    /// sets in place instead.
    pub fn replace_table(&mut self) {
        self.create_table();
        self.delete_table();
        self.create_table();
    }

    /// Creates the table unless it exists.
    pub fn create_table(&mut self) {
        self.push(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, "create table", |body, name| {
            body.text(table::NAME, name)
        });
    }

    /// Deletes the table and all in it.
    pub fn delete_table(&mut self) {
        self.push(libc::NFT_MSG_DELTABLE, 0, "delete table", |body, name| body.text(table::NAME, name));
    }

    /// Creates a chain unless it exists, and empties it; one with a hook is called from there and accepts what no
    /// rule decides, one without is called by rules.
    pub fn renew_chain(&mut self, name: &str, hook: Option<Hook>) {
        self.push(libc::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE, "create chain", |body, table| {
            let body = body.text(chain::TABLE, table).text(chain::NAME, name);
            let Some(hook) = hook else { return body };
            let (kind, number, priority) = hook.describe();
            let hook = Attributes::new()
                .network_number(chain::HOOK_NUMBER, number.cast_unsigned())
                .network_number(chain::HOOK_PRIORITY, priority.cast_unsigned());
            body.nested(chain::HOOK, &hook)
                .text(chain::KIND, kind)
                .network_number(chain::POLICY, libc::NF_ACCEPT.cast_unsigned())
        });
        // Without a handle every rule of the chain is meant.
        self.push(libc::NFT_MSG_DELRULE, 0, "empty chain of", |body, table| {
            body.text(rule_number::TABLE, table).text(rule_number::CHAIN, name)
        });
    }

    /// Deletes a chain that nothing jumps to any more, with its rules, whether it exists or not.
    pub fn delete_chain(&mut self, name: &str) {
        self.renew_chain(name, None);
        self.push(libc::NFT_MSG_DELCHAIN, 0, "delete chain of", |body, table| {
            body.text(chain::TABLE, table).text(chain::NAME, name)
        });
    }

    /// Creates a set unless it exists, and empties it.
    pub fn renew_set(&mut self, name: &str, kind: KeyKind) {
        self.sets += 1;
        let id = self.sets;
        self.push(libc::NFT_MSG_NEWSET, libc::NLM_F_CREATE, "create set", |body, table| {
            let body = body.text(set_number::TABLE, table).text(set_number::NAME, name);
            kind.describe(body).network_number(set_number::ID, id)
        });
        // Without a list every element of the set is meant.
        self.push(libc::NFT_MSG_DELSETELEM, 0, "empty set of", |body, table| {
            body.text(set_number::LIST_TABLE, table).text(set_number::LIST_SET, name)
        });
    }

    /// Deletes a set that no rule looks keys up in any more, whether it exists or not.
    pub fn delete_set(&mut self, name: &str, kind: KeyKind) {
        self.renew_set(name, kind);
        self.push(libc::NFT_MSG_DELSET, 0, "delete set of", |body, table| {
            body.text(set_number::TABLE, table).text(set_number::NAME, name)
        });
    }

    /// Adds elements to a set; one that is there already stays, and keeps its time.
    pub fn add_elements(&mut self, set: &str, elements: &[Element]) {
        self.push_elements(libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE, "add elements", set, elements);
    }

    /// Removes elements from a set, present or not: each is added first, because removing what is absent is an
    /// error, and only kernels from 6.3 on know a removal that is not.
    pub fn remove_elements(&mut self, set: &str, elements: &[Element]) {
        self.add_elements(set, elements);
        self.push_elements(libc::NFT_MSG_DELSETELEM, 0, "remove elements", set, elements);
    }

    /// Adds a rule at the end of a chain.
    pub fn append_rule(&mut self, chain: &str, statements: &[Statement]) {
        self.push_rule(libc::NLM_F_CREATE | libc::NLM_F_APPEND, chain, statements, "");
    }

    /// Puts a rule with a comment in front of a chain's others.
    pub fn prepend_rule(&mut self, chain: &str, statements: &[Statement], comment: &str) {
        self.push_rule(libc::NLM_F_CREATE, chain, statements, comment);
    }

    /// Deletes a rule of a chain.
    pub fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.push(libc::NFT_MSG_DELRULE, 0, "delete rule", |body, table| {
            body.text(rule_number::TABLE, table)
                .text(rule_number::CHAIN, chain)
                .bytes(rule_number::HANDLE, &handle.to_be_bytes())
        });
    }

    /// Has the kernel make the changes. Asks for one answer, to the last change: a refused one is answered anyway.
    pub fn commit(mut self, socket: &mut Socket) -> Result<(), CallError> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let edge = |kind: i32, call| {
            let resource = u16::try_from(libc::NFNL_SUBSYS_NFTABLES).unwrap_or_default();
            let body = wire::body(0, resource);
            Message::new(u16::try_from(kind).unwrap_or_default(), 0, body, call, self.table.as_str())
        };
        let end = edge(libc::NFNL_MSG_BATCH_END, "end transaction on");
        let mut messages = vec![edge(libc::NFNL_MSG_BATCH_BEGIN, "commit transaction on")];
        if let Some(last) = self.messages.pop() {
            messages.append(&mut self.messages);
            messages.push(last.asking_for_answer());
        }
        messages.push(end);
        socket.send(&messages)
    }

    fn push_elements(&mut self, kind: i32, flags: i32, call: &'static str, set: &str, elements: &[Element]) {
        for piece in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let list = piece.iter().fold(Attributes::new(), |list, element| element.encode(list));
            self.push(kind, flags, call, |body, table| {
                body.text(set_number::LIST_TABLE, table)
                    .text(set_number::LIST_SET, set)
                    .nested(set_number::LIST_ELEMENTS, &list)
            });
        }
    }

    fn push_rule(&mut self, flags: i32, chain: &str, statements: &[Statement], comment: &str) {
        self.push(libc::NFT_MSG_NEWRULE, flags, "add rule to", |body, table| {
            let body = body
                .text(rule_number::TABLE, table)
                .text(rule_number::CHAIN, chain)
                .nested(rule_number::EXPRESSIONS, &rule::encode(statements));
            if comment.is_empty() { body } else { inspect::with_comment(body, comment) }
        });
    }

    fn push(
        &mut self,
        kind: i32,
        flags: i32,
        call: &'static str,
        fill: impl FnOnce(Attributes, &str) -> Attributes,
    ) {
        let body = fill(wire::body(self.family as u8, 0), &self.table);
        self.messages.push(Message::new(wire::kind(kind), flags, body, call, self.table.as_str()));
    }
}
