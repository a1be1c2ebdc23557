//! The namespaces a test plays in: sandboxes behind a host, and a far end behind the host's uplink.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use runner::net::{Attachment, Membership, NetError, Network, Running, Settings};
use types::{SystemClock, SystemRandom, sandbox};

use crate::namespace::Namespace;

/// Long enough for a packet between namespaces on a busy machine; only packets that must not arrive cost it.
const PATIENCE: Duration = Duration::from_millis(400);

/// The host's end of its uplink and the far end's. A special-purpose network (RFC 7535) that is not denied.
pub(crate) const UPLINK: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 1);
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 2);

/// A host with an uplink to a far end that has many addresses and no route back to the pool.
pub(crate) struct World {
    pub(crate) host: Namespace,
    pub(crate) far: Namespace,
}

impl World {
    pub(crate) fn new() -> Self {
        let (host, far) = (Namespace::new("host"), Namespace::new("far"));
        host.command(&format!(
            "ip link add uplink mtu 1400 type veth peer name uplink netns {} mtu 1400",
            far.name
        ));
        for (end, address) in [(&host, UPLINK), (&far, FAR)] {
            end.command("ip link set lo up");
            end.command("ip link set uplink up");
            end.command(&format!("ip addr add {address}/24 dev uplink"));
        }
        host.command(&format!("ip route add default via {FAR}"));
        // A new namespace inherits the setting of the machine.
        host.command("sysctl -qw net.ipv4.ip_forward=0");
        for address in
            ["169.254.169.254", "10.50.0.53", "192.168.7.7", "192.168.8.8", "172.16.3.3", "100.64.1.1"]
        {
            far.command(&format!("ip addr add {address}/32 dev lo"));
        }
        Self { host, far }
    }

    pub(crate) fn open(&self, settings: &Settings, running: &[Running]) -> Result<Network, NetError> {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        self.host.run(|| Network::open(settings, running, clock, random))
    }

    /// Gives a new namespace a link and configures it inside, as the runner does.
    pub(crate) fn sandbox(&self, network: &Network, index: u32, block_all: bool) -> Sandbox {
        self.sandbox_under(network, index, &policy(block_all))
    }

    /// The same under any policy.
    pub(crate) fn sandbox_under(&self, network: &Network, index: u32, policy: &sandbox::Network) -> Sandbox {
        self.sandbox_as(network, index, &sandbox_id(index), policy)
    }

    /// The same with any id.
    pub(crate) fn sandbox_as(
        &self,
        network: &Network,
        index: u32,
        id: &str,
        policy: &sandbox::Network,
    ) -> Sandbox {
        let namespace = Namespace::new(&format!("sandbox{index}"));
        let id = id.to_owned();
        let attached = self.host.run(|| network.attach(&id, index, namespace.pid(), policy));
        let link = attached.expect("the sandbox is attached");
        namespace.run(|| link.configure_inside()).expect("the inside is configured");
        self.host.run(|| network.settle(&link)).expect("the link is ready");
        Sandbox { namespace, id, index, link }
    }

    /// Throws all rules away: what arrives only then was kept out by them.
    pub(crate) fn without_rules(&self, network: Network) {
        // It would put them back at once.
        drop(network);
        self.host.command("nft flush ruleset");
    }
}

/// A namespace with a link.
pub(crate) struct Sandbox {
    pub(crate) namespace: Namespace,
    pub(crate) id: String,
    pub(crate) index: u32,
    pub(crate) link: Attachment,
}

impl Sandbox {
    pub(crate) fn running(&self, block_all: bool) -> Running {
        self.running_under(&policy(block_all))
    }

    pub(crate) fn running_under(&self, policy: &sandbox::Network) -> Running {
        let membership = Membership::default();
        Running { sandbox_id: self.id.clone(), index: self.index, policy: policy.clone(), membership }
    }
}

/// Everything that the host allows, or nothing.
pub(crate) fn policy(block_all: bool) -> sandbox::Network {
    sandbox::Network { block_all, ..sandbox::Network::default() }
}

/// An id that tells which place it is for.
pub(crate) fn sandbox_id(index: u32) -> String {
    format!("{index:08x}-0000-4000-8000-000000000000")
}

/// Opens a UDP socket inside a namespace; it stays there whichever thread uses it.
pub(crate) fn udp(namespace: &Namespace, address: impl Into<IpAddr>, port: u16) -> UdpSocket {
    let address = address.into();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match namespace.run(|| UdpSocket::bind((address, port))) {
            // A program that another test starts holds copies of our sockets until it is executed.
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {}
            result => return result.expect("the address is the namespace's"),
        }
    }
}

/// Sends a packet from one namespace to an address of another; returns the source it arrived with, if it did.
pub(crate) fn arrives(
    from: &Namespace,
    to: &Namespace,
    destination: impl Into<IpAddr>,
    port: u16,
) -> Option<IpAddr> {
    let destination = destination.into();
    let any: IpAddr = if destination.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { [0; 16].into() };
    arrives_from(&udp(from, any, 0), to, destination, port)
}

/// The same, again and again for a while: for what must arrive, on a machine that may be busy or has to find the
/// other's address first.
pub(crate) fn arrives_at_last(
    from: &Namespace,
    to: &Namespace,
    destination: impl Into<IpAddr>,
    port: u16,
) -> Option<IpAddr> {
    let destination = destination.into();
    (0..20).find_map(|_| arrives(from, to, destination, port))
}

/// The same from a socket that is open already.
pub(crate) fn arrives_from(
    sender: &UdpSocket,
    to: &Namespace,
    destination: IpAddr,
    port: u16,
) -> Option<IpAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let token = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let receiver = udp(to, destination, port);
    receiver.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
    // A packet that is dropped on its way out is an error for the sender.
    sender.send_to(&token, SocketAddr::new(destination, port)).ok()?;
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 16];
    while Instant::now() < deadline {
        let Ok((length, source)) = receiver.recv_from(&mut buffer) else { continue };
        if buffer.get(..length) == Some(&token[..]) {
            return Some(source.ip());
        }
    }
    None
}

/// Tells whether what is sent now gets from one end of a connection to the other; what was sent before and got stuck
/// does not count.
pub(crate) fn passes(mut from: &TcpStream, mut to: &TcpStream, patience_ms: u64) -> bool {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let token = format!("<{}>", NEXT.fetch_add(1, Ordering::Relaxed));
    from.write_all(token.as_bytes()).expect("the kernel takes it");
    to.set_read_timeout(Some(Duration::from_millis(patience_ms))).expect("set");
    let mut arrived = String::new();
    let mut buffer = [0; 256];
    loop {
        match to.read(&mut buffer) {
            Ok(0) => return false,
            Ok(read) => arrived.push_str(&String::from_utf8_lossy(&buffer[..read])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            // Somebody stopped and continued the process.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
        if arrived.contains(&token) {
            return true;
        }
    }
}
