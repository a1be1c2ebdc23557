//! Finds name servers that a sandbox can use in the host's own settings (resolv.conf(5)).

use std::net::{Ipv4Addr, SocketAddr};

/// Where name servers listen.
const DOMAIN_PORT: u16 = 53;

/// Returns the IPv4 name servers of a `resolv.conf`, in order and once each. The host's loopback ones are left out:
/// no sandbox reaches them.
pub fn name_servers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let servers = all(resolv_conf).into_iter();
    servers.filter(|server| !server.is_loopback() && !server.is_unspecified()).collect()
}

/// Returns the IPv4 name servers that the host itself asks, its own on loopback included.
pub fn upstreams(resolv_conf: &str) -> Vec<SocketAddr> {
    all(resolv_conf).into_iter().map(|server| SocketAddr::from((server, DOMAIN_PORT))).collect()
}

fn all(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let mut servers: Vec<Ipv4Addr> = Vec::new();
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and(words.next());
        let server: Option<Ipv4Addr> = server.and_then(|server| server.parse().ok());
        servers.extend(server.filter(|server| !servers.contains(server)));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::{name_servers, upstreams};

    #[test]
    fn only_servers_that_a_sandbox_can_reach_are_found() {
        let text = "# nameserver 9.9.9.9\nsearch example.org\nnameserver 127.0.0.53\n  nameserver\t10.0.0.2  \n\
                    nameserver 2001:db8::1\nnameserver 10.0.0.2\nnameserver 1.1.1.1 # second\nnameserver\n;x\n";
        let found: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.2", "1.1.1.1"]);
        assert!(name_servers("").is_empty());
        let asked: Vec<String> = upstreams(text).iter().map(ToString::to_string).collect();
        assert_eq!(asked, ["127.0.0.53:53", "10.0.0.2:53", "1.1.1.1:53"]);
    }
}
