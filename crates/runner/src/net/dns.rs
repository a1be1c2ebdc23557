//! The host's own resolver for sandboxes with a list, which answers listed names only and pins what it answers, and for
//! sandboxes that are linked, which find each other by name here. For those without a list it hands the rest on.
//!
//! It listens on the host's end of each such sandbox's link and nowhere else, so one sandbox's flood fills no other's
//! queue. One thread with an asynchronous loop serves all: many slow lookups at a time cost no threads, and no sandbox
//! can use up a pool of them. When it is not there, no new names are resolved: everything fails closed.

mod message;
mod upstream;
mod lookup;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use types::Random;

use crate::net::address::Pair;
use crate::net::error::NetError;
use crate::net::ledger::Ledger;
use crate::net::rules::Rules;
use lookup::Desk;
use upstream::Upstream;

/// Where the resolver may listen; the first free port is taken.
const PORTS: std::ops::Range<u16> = 20_053..20_085;
/// Connections that wait to be accepted, of one sandbox.
const BACKLOG: i32 = 16;

/// Who is asked.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    /// The host's own name servers, for sandboxes with a list.
    pub(super) upstreams: Vec<SocketAddr>,
    /// Those that sandboxes without a list ask by themselves when they are not linked.
    pub(super) usual: Vec<SocketAddr>,
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
    serving: Mutex<BTreeSet<u32>>,
    port: u16,
}

#[derive(Debug)]
enum Command {
    Serve { index: u32, guest: Ipv4Addr, datagrams: UdpSocket, connections: TcpListener },
    Close { index: u32 },
}

/// Finds a port that nobody has on all addresses. `address` is one of the pool.
pub(super) fn find_port(address: Ipv4Addr) -> Result<u16, NetError> {
    let free = |port: &u16| {
        let at = SocketAddrV4::new(address, *port);
        open(SocketType::DGRAM, at, false).and_then(|_| open(SocketType::STREAM, at, false)).is_ok()
    };
    PORTS.clone().find(free).ok_or(NetError::NoPort { first: PORTS.start, last: PORTS.end - 1 })
}

impl Resolver {
    /// Starts the thread; nothing is served yet.
    pub(super) fn start(
        rules: Arc<Rules>,
        ledger: Arc<Ledger>,
        servers: Servers,
        random: Arc<dyn Random>,
    ) -> Result<Self, NetError> {
        const NAME: &str = "net-resolver";
        let failed = |source| NetError::Thread { name: NAME, source };
        let port = rules.policy.resolver_port;
        let Servers { upstreams, usual } = servers;
        let upstream = Upstream { servers: upstreams, random: random.clone() };
        let relay = Upstream { servers: usual, random };
        let desk = Arc::new(Desk::new(rules, ledger, upstream, relay));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (commands, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name(NAME.to_owned());
        let thread = thread.spawn(move || runtime.block_on(run(desk, received))).map_err(failed)?;
        Ok(Self { commands: Some(commands), thread: Some(thread), serving: Mutex::default(), port })
    }

    /// Serves a place; one that is served already goes on.
    pub(super) fn serve(&self, index: u32, pair: Pair) -> Result<(), NetError> {
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if serving.contains(&index) {
            return Ok(());
        }
        let at = SocketAddrV4::new(pair.host, self.port);
        let failed = |source| NetError::Listen { address: at, source };
        let datagrams = UdpSocket::from(open(SocketType::DGRAM, at, true).map_err(failed)?);
        let connections = open(SocketType::STREAM, at, true).map_err(failed)?;
        listen(&connections, BACKLOG).map_err(|error| failed(error.into()))?;
        let connections = TcpListener::from(connections);
        let command = Command::Serve { index, guest: pair.sandbox, datagrams, connections };
        let sent = self.commands.as_ref().is_some_and(|commands| commands.send(command).is_ok());
        if !sent {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        }
        serving.insert(index);
        Ok(())
    }

    /// Serves a place no more.
    pub(super) fn close(&self, index: u32) {
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if serving.remove(&index)
            && let Some(commands) = &self.commands
        {
            // Without the thread there is nothing to close.
            let _ = commands.send(Command::Close { index });
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(desk: Arc<Desk>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut places = JoinSet::new();
    let mut handles = BTreeMap::new();
    while let Some(command) = commands.recv().await {
        // Those that were closed before are only swept up here.
        while places.try_join_next().is_some() {}
        match command {
            Command::Serve { index, guest, datagrams, connections } => {
                let (Ok(datagrams), Ok(connections)) = (
                    tokio::net::UdpSocket::from_std(datagrams),
                    tokio::net::TcpListener::from_std(connections),
                ) else {
                    continue;
                };
                let task = serve::serve(desk.clone(), index, guest, datagrams, connections);
                handles.insert(index, places.spawn(task));
            }
            Command::Close { index } => {
                if let Some(handle) = handles.remove(&index) {
                    handle.abort();
                }
            }
        }
    }
}

/// Opens a socket at an address that the host need not have (yet): links come and go. `beside` others of ours, which
/// are about to close.
fn open(kind: SocketType, at: SocketAddrV4, beside: bool) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
    sockopt::set_ip_freebind(&socket, true)?;
    if beside {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &at)?;
    Ok(socket)
}
