//! A small internet: a name server whose answers a test decides, hosts that answer, and a program that asks.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::net::Settings;
use types::network::{DomainPattern, Ipv4Network};
use types::sandbox;

use crate::namespace::{Namespace, try_run};
use crate::world::{FAR, Sandbox, World};

/// Where the host's own name server listens: on its loopback, at a port of its own.
pub(crate) const NAMES: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);
/// Hosts of the far end.
pub(crate) const WEB: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 10);
pub(crate) const MIRROR: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 11);
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 12);
pub(crate) const PORT: u16 = 443;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const NO_ERROR: u8 = 0;
pub(crate) const SERVER_FAILURE: u8 = 2;
pub(crate) const REFUSED: u8 = 5;

/// What a name server does with a question.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Addresses(Vec<Ipv4Addr>, u32),
    /// The name is another's, which has these addresses.
    Alias(String, Vec<Ipv4Addr>),
    /// First answers that are forged in some way, then the right one.
    AfterForgeries(Ipv4Addr),
    Silence,
}

/// A name server; it ends when dropped.
pub(crate) struct NameServer {
    names: Arc<Mutex<HashMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl NameServer {
    pub(crate) fn start(namespace: &Namespace, at: SocketAddr) -> Self {
        let (names, asked, stop) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let (datagrams, connections) =
            namespace.run(|| (UdpSocket::bind(at).expect("bound"), TcpListener::bind(at).expect("bound")));
        datagrams.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        connections.set_nonblocking(true).expect("set");
        let mut server = Self { names, asked, stop, threads: Vec::new() };
        let (names, asked, stop) = (server.names.clone(), server.asked.clone(), server.stop.clone());
        server.threads.push(std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = datagrams.recv_from(&mut buffer) else { continue };
                for reply in answer(&buffer[..length], &names, &asked, 512) {
                    let _ = datagrams.send_to(&reply, from);
                }
            }
        }));
        let (names, asked, stop) = (server.names.clone(), server.asked.clone(), server.stop.clone());
        server.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = connections.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).expect("set");
                let question = read_framed(&mut stream);
                for reply in answer(&question, &names, &asked, 65_535) {
                    write_framed(&mut stream, &reply);
                }
            }
        }));
        server
    }

    pub(crate) fn set(&self, name: &str, reply: Reply) {
        self.names.lock().expect("held").insert(name.to_owned(), reply);
    }

    /// Returns the names that it was asked for, and forgets them.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("held"))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn answer(
    question: &[u8],
    names: &Mutex<HashMap<String, Reply>>,
    asked: &Mutex<Vec<String>>,
    longest: usize,
) -> Vec<Vec<u8>> {
    let (name, end) = read_name(question, 12);
    asked.lock().expect("held").push(name.clone());
    let reply = names.lock().expect("held").get(&name).cloned();
    let head = |outcome: u8, count: usize| {
        let count = u8::try_from(count).expect("few");
        let mut bytes = question[..2].to_vec();
        bytes.extend_from_slice(&[0x81, 0x80 | outcome, 0, 1, 0, count, 0, 0, 0, 0]);
        bytes.extend_from_slice(&question[12..end + 4]);
        bytes
    };
    let addresses = |owner: &[u8], list: &[Ipv4Addr], ttl_s: u32| -> Vec<u8> {
        list.iter().flat_map(|address| record(owner, A, ttl_s, &address.octets())).collect()
    };
    const SAME: &[u8] = &[0xc0, 12];
    let whole = match reply {
        None => head(3, 0),
        Some(Reply::Silence) => return Vec::new(),
        Some(Reply::Addresses(list, ttl_s)) => [head(0, list.len()), addresses(SAME, &list, ttl_s)].concat(),
        Some(Reply::Alias(target, list)) => {
            let target = write_name(&target);
            let alias = record(SAME, 5, 300, &target);
            [head(0, list.len() + 1), alias, addresses(&target, &list, 300)].concat()
        }
        Some(Reply::AfterForgeries(address)) => {
            let right = [head(0, 1), addresses(SAME, &[address], 60)].concat();
            let forged = [head(0, 1), addresses(SAME, &[STRANGER], 60)].concat();
            let change = |at: usize, bits: u8| {
                let mut bytes = forged.clone();
                bytes[at] ^= bits;
                bytes
            };
            let other_id = change(0, 0x55);
            let (other_name, other_type, no_answer) = (change(14, 1), change(end + 1, 2), change(2, 0x80));
            return vec![other_id, other_name, other_type, no_answer, b"x".to_vec(), right];
        }
    };
    if whole.len() <= longest {
        return vec![whole];
    }
    let mut cut = head(0, 0);
    cut[2] |= 2;
    vec![cut]
}

fn record(owner: &[u8], kind: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1], &ttl_s.to_be_bytes(), &length, data].concat()
}

fn read_name(bytes: &[u8], start: usize) -> (String, usize) {
    let (mut at, mut labels) = (start, Vec::new());
    while bytes[at] != 0 {
        let end = at + 1 + usize::from(bytes[at]);
        labels.push(String::from_utf8_lossy(&bytes[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), at + 1)
}

fn write_name(name: &str) -> Vec<u8> {
    let labels: Vec<&[u8]> = name.split('.').map(str::as_bytes).collect();
    write_labels(&labels)
}

pub(crate) fn write_labels(labels: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        bytes.push(u8::try_from(label.len()).expect("a label"));
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.set_read_timeout(Some(Duration::from_secs(8))).expect("set");
    if stream.read_exact(&mut length).is_err() {
        return Vec::new();
    }
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).expect("the rest");
    bytes
}

fn write_framed(stream: &mut TcpStream, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
    stream.write_all(&[&length, bytes].concat()).expect("written");
}

/// What a program in a sandbox is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) outcome: u8,
    pub(crate) truncated: bool,
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) ttl_s: Option<u32>,
}

/// A question with a name of these labels, whatever bytes they have.
pub(crate) fn question(name: &[u8], kind: u16) -> Vec<u8> {
    let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&head[..], name, &kind.to_be_bytes(), &[0, 1]].concat()
}

/// Asks a name server from inside a namespace; `None` when there is no answer.
pub(crate) fn ask(from: &Namespace, server: SocketAddr, bytes: &[u8]) -> Option<Told> {
    let socket = from.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).expect("bound");
    ask_from(&socket, server, bytes)
}

/// The same from a socket that is open already.
pub(crate) fn ask_from(socket: &UdpSocket, server: SocketAddr, bytes: &[u8]) -> Option<Told> {
    // The answer must come from whom was asked.
    socket.connect(server).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(8))).expect("set");
    socket.send(bytes).ok()?;
    let mut buffer = [0; 2048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => return Some(read_told(&buffer[..length])),
            // Somebody stopped and continued the process.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

pub(crate) fn ask_over_tcp(from: &Namespace, server: SocketAddr, bytes: &[u8]) -> Option<Told> {
    let connect = || TcpStream::connect_timeout(&server, Duration::from_secs(2));
    let mut stream = from.run(connect).ok()?;
    write_framed(&mut stream, bytes);
    Some(read_framed(&mut stream)).filter(|reply| !reply.is_empty()).map(|reply| read_told(&reply))
}

fn read_told(bytes: &[u8]) -> Told {
    assert_eq!(&bytes[..2], [0x12, 0x34], "the number is repeated");
    assert_eq!(bytes[2] & 0x80, 0x80, "it is an answer");
    let count = usize::from(u16::from_be_bytes([bytes[6], bytes[7]]));
    let questions = u16::from_be_bytes([bytes[4], bytes[5]]);
    let mut told =
        Told { outcome: bytes[3] & 15, truncated: bytes[2] & 2 != 0, addresses: Vec::new(), ttl_s: None };
    if questions == 0 {
        return told;
    }
    let mut at = read_name(bytes, 12).1 + 4;
    for _ in 0..count {
        assert_eq!(&bytes[at..at + 4], [0xc0, 12, 0, 1], "an address of the name that was asked for");
        told.ttl_s = Some(u32::from_be_bytes(bytes[at + 6..at + 10].try_into().expect("four")));
        let octets: [u8; 4] = bytes[at + 12..at + 16].try_into().expect("four");
        told.addresses.push(octets.into());
        at += 16;
    }
    told
}

/// A world with a name server and hosts that listen.
pub(crate) struct Internet {
    pub(crate) world: World,
    pub(crate) names: NameServer,
    /// Somebody else's name server; nobody may ever ask it.
    pub(crate) foreign: NameServer,
    _hosts: Vec<TcpListener>,
}

impl Internet {
    pub(crate) fn new() -> Self {
        let world = World::new();
        for address in [WEB, MIRROR, STRANGER] {
            world.far.command(&format!("ip addr add {address}/32 dev uplink"));
        }
        let names = NameServer::start(&world.host, NAMES);
        let foreign = NameServer::start(&world.far, SocketAddr::from((FAR, 53)));
        let listen = |address| world.far.run(|| TcpListener::bind((address, PORT))).expect("bound");
        let hosts = [WEB, MIRROR, STRANGER, Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(10, 50, 0, 53)];
        let hosts = hosts.map(listen).into();
        names.set("web.example.com", Reply::Addresses(vec![WEB], 60));
        foreign.set("web.example.com", Reply::Addresses(vec![STRANGER], 60));
        Self { world, names, foreign, _hosts: hosts }
    }

    pub(crate) fn settings() -> Settings {
        Settings { resolvers: vec![FAR], upstreams: vec![NAMES], ..Settings::default() }
    }
}

/// A policy of networks and domains.
pub(crate) fn list(networks: &[&str], domains: &[&str]) -> sandbox::Network {
    sandbox::Network {
        block_all: false,
        allow_list: networks.iter().map(|text| Ipv4Network::parse(text).expect("a network")).collect(),
        domain_allow_list: domains.iter().map(|text| DomainPattern::parse(text).expect("a domain")).collect(),
    }
}

impl Sandbox {
    /// Looks a name up at the name server that the sandbox was told of.
    pub(crate) fn lookup(&self, name: &str) -> Told {
        let bytes = question(&write_name(name), A);
        ask(&self.namespace, SocketAddr::from((FAR, 53)), &bytes).expect("an answer")
    }

    /// Tells whether an echo comes back.
    pub(crate) fn pings(&self, address: Ipv4Addr) -> bool {
        // The one in the machine's path need not be there.
        let command = format!("ip netns exec {} /bin/busybox ping -c 1 -W 1 {address}", self.namespace.name);
        try_run(&command).0
    }

    /// Tells whether a connection comes about.
    pub(crate) fn connects(&self, address: Ipv4Addr) -> bool {
        self.connect(address).is_some()
    }

    pub(crate) fn connect(&self, address: Ipv4Addr) -> Option<TcpStream> {
        let address = SocketAddr::from((address, PORT));
        self.namespace.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(400))).ok()
    }
}
