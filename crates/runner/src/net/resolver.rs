//! Finds name servers that a sandbox can use in the host's own settings (resolv.conf(5)).

use std::net::Ipv4Addr;

/// Returns the IPv4 name servers of a `resolv.conf`, in order and once each. The host's loopback ones are left out:
/// no sandbox reaches them.
pub fn name_servers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let mut servers: Vec<Ipv4Addr> = Vec::new();
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and(words.next());
        let server: Option<Ipv4Addr> = server.and_then(|server| server.parse().ok());
        servers.extend(
            server.filter(|server| {
                !server.is_loopback() && !server.is_unspecified() && !servers.contains(server)
            }),
        );
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::name_servers;

    #[test]
    fn only_servers_that_a_sandbox_can_reach_are_found() {
        let text = "# nameserver 9.9.9.9\nsearch example.org\nnameserver 127.0.0.53\n  nameserver\t10.0.0.2  \n\
                    nameserver 2001:db8::1\nnameserver 10.0.0.2\nnameserver 1.1.1.1 # second\nnameserver\n;x\n";
        let found: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.2", "1.1.1.1"]);
        assert!(name_servers("").is_empty());
    }
}
