//! What the network of one server is told.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use types::network::Ipv4Network;

use crate::net::address::Names;
use crate::net::denied::{self, Denied};
use crate::net::dns::{self, Servers};
use crate::net::error::NetError;
use crate::net::policy::{self, Policy};

/// What the network is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tells two servers on one machine apart: names the table and the links. Two instances need two pools.
    pub instance: String,
    /// The addresses of all links; in use nowhere else.
    pub pool: Ipv4Network,
    /// Largest packet; `None` takes that of the link behind the default route.
    pub mtu_bytes: Option<u32>,
    /// Destinations that sandboxes may reach although they are denied.
    pub allowed: Vec<Ipv4Network>,
    /// Destinations that sandboxes may not reach, besides those of `policy/egress.json`.
    pub denied: Vec<Ipv4Network>,
    /// Name servers that sandboxes may ask on port 53, wherever they are.
    pub resolvers: Vec<Ipv4Addr>,
    /// Name servers that the host itself asks for sandboxes with a list; none means `resolvers`, at port 53.
    pub upstreams: Vec<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instance: String::new(),
            pool: Ipv4Network::around(Ipv4Addr::new(10, 210, 0, 0), 16),
            mtu_bytes: None,
            allowed: Vec::new(),
            denied: Vec::new(),
            resolvers: Vec::new(),
            upstreams: Vec::new(),
        }
    }
}

impl Settings {
    /// Returns whom the host's own resolver asks, and to whom it hands on what sandboxes without a list ask.
    pub(super) fn servers(&self) -> Servers {
        let at_home = |address: &Ipv4Addr| SocketAddr::from((*address, policy::DOMAIN_PORT));
        let usual: Vec<SocketAddr> = self.resolvers.iter().map(at_home).collect();
        let upstreams = if self.upstreams.is_empty() { usual.clone() } else { self.upstreams.clone() };
        Servers { upstreams, usual }
    }

    /// Gathers what the rules are made from.
    pub(super) fn policy(&self, names: Names, log_group: Option<u16>) -> Result<Policy, NetError> {
        let mut denied = denied::denied_by_default().map_err(|source| NetError::Policy { source })?;
        let by_operator =
            |network: &Ipv4Network| Denied { network: *network, reason: "by the operator".to_owned() };
        denied.extend(self.denied.iter().map(by_operator));
        Ok(Policy {
            names,
            pool: self.pool,
            allowed: self.allowed.clone(),
            denied,
            resolvers: self.resolvers.iter().copied().collect::<BTreeSet<_>>().into_iter().collect(),
            resolver_port: dns::find_port(self.pool.address)?,
            log_group,
        })
    }
}
