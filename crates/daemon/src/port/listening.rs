//! Reads from the kernel which TCP ports are listened on (`proc_pid_net(5)`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;

use crate::error::DaemonError;

/// Both tables of this network namespace. The second is missing where the kernel has no IPv6.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// What the kernel calls the state of a listening socket.
const LISTENING: &str = "0A";

/// Returns the ports, lowest first. Read anew each time, so a server is seen as soon as it listens.
pub fn ports() -> Result<BTreeSet<u16>, DaemonError> {
    let mut ports = BTreeSet::new();
    for table in TABLES {
        let failed = |error| DaemonError::file("read the kernel's table", Path::new(table), error);
        let mut lines = match File::open(table) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        let mut line = String::new();
        while lines.read_line(&mut line).map_err(failed)? > 0 {
            ports.extend(port(&line));
            line.clear();
        }
    }
    Ok(ports)
}

/// Returns the local port of a line that tells of a listening socket.
fn port(line: &str) -> Option<u16> {
    // `sl local_address rem_address st …`, addresses as `hex:hex`.
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, state) = (fields.next()?, fields.nth(1)?);
    let (_, port) = local.rsplit_once(':')?;
    (state == LISTENING).then(|| u16::from_str_radix(port, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener};

    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        for (line, expected) in [
            ("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0", Some(8080)),
            (
                "   1: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0",
                Some(3000),
            ),
            ("   2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000", None),
            ("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when", None),
            ("", None),
            ("0: x:ZZZZ y 0A", None),
        ] {
            assert_eq!(port(line), expected, "{line}");
        }
    }

    #[test]
    fn a_listener_is_there_from_its_first_moment_to_its_last() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = listener.local_addr().expect("address").port();
        assert!(ports().expect("ports").contains(&port));
        drop(listener);
        match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
            Ok(listener) => {
                let port = listener.local_addr().expect("address").port();
                assert!(ports().expect("ports").contains(&port));
            }
            Err(error) => println!("skipped: this machine has no IPv6: {error}"),
        }
    }
}
