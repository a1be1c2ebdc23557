//! Remote forwarding (RFC 4254 §7.1): what listens in the sandbox for the client, as any program of the sandbox could.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener};
use std::time::Duration;

use rustix::fs::Mode;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::Sender;
use tokio::task::AbortHandle;

use crate::arrival::{Arrival, Place};
use crate::channel::{Outgoing, PIECE_BYTES, WINDOW_BYTES};
use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;
use crate::message;
use crate::target::Stream;

/// In how many places a client may have listened.
const PLACES: usize = 32;
/// How long nothing is taken after the kernel has refused to give, for want of descriptors mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns the message that offers the client a connection as channel `id`.
pub(crate) fn opening(arrival: &Arrival, id: u32) -> Vec<u8> {
    let open = |kind: &[u8]| {
        let message = Vec::new().byte(message::CHANNEL_OPEN).string(kind).number(id);
        message.number(WINDOW_BYTES).number(PIECE_BYTES)
    };
    match &arrival.place {
        Place::Port { host, port } => {
            let from = arrival.from.map(|from| (from.ip().to_canonical().to_string(), from.port()));
            let (address, from_port) = from.unwrap_or_default();
            let message = open(b"forwarded-tcpip").string(host.as_bytes()).number((*port).into());
            message.string(address.as_bytes()).number(from_port.into())
        }
        Place::Path(path) => open(b"forwarded-streamlocal@openssh.com").string(path.as_bytes()).string(&[]),
    }
}

/// Listens until it is dropped, and leaves no socket in the file system.
#[derive(Debug)]
struct Listening {
    tasks: Vec<AbortHandle>,
    path: Option<String>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Everything that is listened on for one client.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    open: HashMap<Place, Listening>,
}

impl Listeners {
    /// Handles a request; returns the answer that grants it, or `None` when it is refused or none of these.
    pub(crate) fn request(
        &mut self,
        name: &[u8],
        mut reader: Reader<'_>,
        outgoing: &Sender<Outgoing>,
    ) -> Result<Option<Vec<u8>>, SshError> {
        let place = match name {
            b"tcpip-forward" | b"cancel-tcpip-forward" => {
                let (host, port) = (reader.text()?.to_owned(), reader.number()?);
                let Ok(port) = u16::try_from(port) else { return Ok(None) };
                Place::Port { host, port }
            }
            b"streamlocal-forward@openssh.com" | b"cancel-streamlocal-forward@openssh.com" => {
                Place::Path(reader.text()?.to_owned())
            }
            _ => return Ok(None),
        };
        if name.starts_with(b"cancel-") {
            return Ok(self.open.remove(&place).map(|_listening| vec![message::REQUEST_SUCCESS]));
        }
        if self.open.len() >= PLACES || self.open.contains_key(&place) {
            return Ok(None);
        }
        Ok(self.listen(place, outgoing).ok())
    }

    fn listen(&mut self, place: Place, outgoing: &Sender<Outgoing>) -> io::Result<Vec<u8>> {
        let mut listening = Listening { tasks: Vec::new(), path: None };
        let answer = vec![message::REQUEST_SUCCESS];
        let (place, answer) = match place {
            Place::Port { host, port } => {
                let (chosen, listeners) = bind(&host, port)?;
                let place = Place::Port { host, port: chosen };
                for listener in listeners {
                    listener.set_nonblocking(true)?;
                    let listener = TcpListener::from_std(listener)?;
                    let task = tokio::spawn(take_from_port(listener, place.clone(), outgoing.clone()));
                    listening.tasks.push(task.abort_handle());
                }
                // Told only to who left the choice to us.
                let answer = if port == 0 { answer.number(chosen.into()) } else { answer };
                (place, answer)
            }
            Place::Path(path) => {
                // For the user alone from its first moment on. No program is started meanwhile: this thread starts them.
                let usual = rustix::process::umask(Mode::from_raw_mode(0o177));
                let listener = UnixListener::bind(&path);
                rustix::process::umask(usual);
                let listener = listener?;
                listening.path = Some(path.clone());
                let place = Place::Path(path);
                let task = tokio::spawn(take_from_path(listener, place.clone(), outgoing.clone()));
                listening.tasks.push(task.abort_handle());
                (place, answer)
            }
        };
        self.open.insert(place, listening);
        Ok(answer)
    }
}

/// Binds what the words of RFC 4254 §7.1 stand for, and returns the port. Names are not resolved: nobody waits here.
fn bind(host: &str, port: u16) -> io::Result<(u16, Vec<StdTcpListener>)> {
    let bind = |address: IpAddr, port| StdTcpListener::bind(SocketAddr::new(address, port));
    let first = match host {
        "localhost" => bind(Ipv4Addr::LOCALHOST.into(), port)?,
        "" | "*" => {
            bind(Ipv6Addr::UNSPECIFIED.into(), port).or_else(|_| bind(Ipv4Addr::UNSPECIFIED.into(), port))?
        }
        address => {
            let address = address.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            bind(address, port)?
        }
    };
    let chosen = first.local_addr()?.port();
    let mut listeners = vec![first];
    if host == "localhost" {
        // As far as there is another one here.
        listeners.extend(bind(Ipv6Addr::LOCALHOST.into(), chosen).ok());
    }
    Ok((chosen, listeners))
}

async fn take_from_port(listener: TcpListener, place: Place, outgoing: Sender<Outgoing>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Best effort: without it small answers wait for each other.
        let _ = stream.set_nodelay(true);
        let arrival = Arrival { stream: Stream::Port(stream), place: place.clone(), from: Some(from) };
        if outgoing.send(Outgoing::Arrived(arrival)).await.is_err() {
            return;
        }
    }
}

async fn take_from_path(listener: UnixListener, place: Place, outgoing: Sender<Outgoing>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let arrival = Arrival { stream: Stream::Path(stream), place: place.clone(), from: None };
        if outgoing.send(Outgoing::Arrived(arrival)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(listeners: &mut Listeners, name: &str, words: &[u8]) -> (Option<Vec<u8>>, Receiver) {
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        let answer = listeners.request(name.as_bytes(), Reader::new(words), &sender).unwrap();
        (answer, receiver)
    }

    type Receiver = tokio::sync::mpsc::Receiver<Outgoing>;

    #[tokio::test]
    async fn a_port_of_our_choice_is_told_and_given_back() {
        let mut listeners = Listeners::default();
        let (answer, mut arrivals) =
            ask(&mut listeners, "tcpip-forward", &Vec::new().string(b"localhost").number(0));
        let answer = answer.unwrap();
        let mut reader = Reader::new(&answer);
        assert_eq!(reader.byte().unwrap(), message::REQUEST_SUCCESS);
        let port = reader.number().unwrap();
        let address = format!("127.0.0.1:{port}");
        let client = tokio::net::TcpStream::connect(&address).await.unwrap();
        let Some(Outgoing::Arrived(arrival)) = arrivals.recv().await else { panic!("nobody came") };
        let opening = opening(&arrival, 5);
        let mut reader = Reader::new(&opening);
        assert_eq!(reader.byte().unwrap(), message::CHANNEL_OPEN);
        assert_eq!((reader.text().unwrap(), reader.number().unwrap()), ("forwarded-tcpip", 5));
        reader.bytes(8).unwrap();
        assert_eq!((reader.text().unwrap(), reader.number().unwrap()), ("localhost", port));
        let from = client.local_addr().unwrap();
        assert_eq!((reader.text().unwrap(), reader.number().unwrap()), ("127.0.0.1", from.port().into()));

        let words = Vec::new().string(b"localhost").number(port);
        assert_eq!(ask(&mut listeners, "tcpip-forward", &words).0, None, "it is taken");
        let (answer, _) = ask(&mut listeners, "cancel-tcpip-forward", &words);
        assert_eq!(answer, Some(vec![message::REQUEST_SUCCESS]));
        assert_eq!(ask(&mut listeners, "cancel-tcpip-forward", &words).0, None, "it is gone");
        // The tasks that listen end, and what they hold with them.
        while arrivals.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn a_socket_is_the_users_alone_and_goes_with_the_connection() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let words = Vec::new().string(path.to_str().unwrap().as_bytes());
        let mut listeners = Listeners::default();
        let (answer, mut arrivals) = ask(&mut listeners, "streamlocal-forward@openssh.com", &words);
        assert_eq!(answer, Some(vec![message::REQUEST_SUCCESS]));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let _client = tokio::net::UnixStream::connect(&path).await.unwrap();
        assert!(matches!(arrivals.recv().await, Some(Outgoing::Arrived(_))));
        let (mut others, file) = (Listeners::default(), directory.path().join("file"));
        std::fs::write(&file, "kept").unwrap();
        let taken = Vec::new().string(file.to_str().unwrap().as_bytes());
        assert_eq!(ask(&mut others, "streamlocal-forward@openssh.com", &taken).0, None);
        drop((listeners, others));
        assert!(!path.exists() && file.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_listened_on_is_refused() {
        let mut listeners = Listeners::default();
        for (host, port) in [("localhost", 65536), ("no.such.name", 0), ("192.0.2.1", 0)] {
            let words = Vec::new().string(host.as_bytes()).number(port);
            assert_eq!(ask(&mut listeners, "tcpip-forward", &words).0, None, "{host}:{port}");
        }
        for _ in 0..PLACES {
            let words = Vec::new().string(b"127.0.0.1").number(0);
            assert!(ask(&mut listeners, "tcpip-forward", &words).0.is_some());
        }
        let words = Vec::new().string(b"").number(0);
        assert_eq!(ask(&mut listeners, "tcpip-forward", &words).0, None, "there is an end to it");
    }
}
