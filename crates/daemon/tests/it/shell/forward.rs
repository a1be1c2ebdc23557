//! Forwarding.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use crate::harness::TestDaemon;

use super::client::{Client, errors, output};
use super::{servers, wait_for};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

fn answer(mut stream: impl std::io::Read + std::io::Write) {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        asked.extend(byte);
    }
    assert!(asked.starts_with(b"GET / HTTP/1.1\r\n"));
    let _ = stream.write_all(ANSWER.as_bytes());
}

#[test]
fn what_listens_in_the_sandbox_is_reached_through_the_connection() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let port = TcpListener::bind("127.0.0.1:0").expect("listen");
    let number = port.local_addr().expect("address").port();
    let path = daemon.directory.path().join("http.sock");
    let socket = UnixListener::bind(&path).expect("listen");
    std::thread::spawn(move || port.incoming().flatten().for_each(answer));
    std::thread::spawn(move || socket.incoming().flatten().for_each(answer));
    let local = |name: &str| client.path(name).to_str().expect("UTF-8").to_owned();
    let forwards = [
        format!("{}:127.0.0.1:{number}", local("address")),
        format!("{}:localhost:{number}", local("name")),
        format!("{}:{}", local("path"), path.display()),
        format!("{}:127.0.0.1:1", local("nobody")),
    ];
    let options: Vec<&str> = forwards.iter().flat_map(|forward| ["-L", forward]).collect();
    let mut ssh = client.ssh(&[&["-N"], options.as_slice()].concat(), "");
    let mut ssh = ssh.stderr(Stdio::null()).spawn().expect("ssh");
    let ask = |name: &str| {
        wait_for(|| UnixStream::connect(local(name)).is_ok());
        let mut stream = UnixStream::connect(local(name)).expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("ask");
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard);
        heard
    };
    for name in ["address", "name", "path"] {
        assert_eq!(ask(name), ANSWER, "{name}");
    }
    assert_eq!(ask("nobody"), "", "nobody listens there");
    // More at a time than there are channels are refused one by one, and the connection stays good.
    let many: Vec<_> = (0..100).map(|_| UnixStream::connect(local("address")).expect("connect")).collect();
    drop(many);
    wait_for(|| ask("address") == ANSWER);
    ssh.kill().expect("kill");
    ssh.wait().expect("the end");
    wait_for(|| servers(&daemon).is_empty());
}

#[test]
fn what_listens_at_the_client_is_reached_from_the_sandbox() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let here = TcpListener::bind("127.0.0.1:0").expect("listen");
    let number = here.local_addr().expect("address").port();
    std::thread::spawn(move || here.incoming().flatten().for_each(answer));
    // Sockets of the sandbox, which have no numbers that somebody else could take meanwhile.
    let path = daemon.directory.path().join("remote.sock");
    let nowhere = daemon.directory.path().join("nowhere.sock");
    let forwards = [
        format!("{}:127.0.0.1:{number}", path.display()),
        format!("{}:127.0.0.1:1", nowhere.display()),
        format!("0:127.0.0.1:{number}"),
    ];
    let options: Vec<&str> = forwards.iter().flat_map(|forward| ["-R", forward]).collect();
    let mut ssh = client.ssh(&[&["-v", "-N"], options.as_slice()].concat(), "");
    let mut ssh = ssh.stderr(Stdio::piped()).spawn().expect("ssh");
    let mut told = std::io::BufReader::new(ssh.stderr.take().expect("what it tells"));
    let mut line = String::new();
    let port: u16 = loop {
        line.clear();
        assert!(told.read_line(&mut line).expect("a line") > 0, "ssh tells which port it was given");
        if let Some((_, rest)) = line.split_once("Allocated port ") {
            break rest.split(' ').next().expect("a word").parse().expect("a number");
        }
    };
    std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
    let ask = |mut stream: Box<dyn Both>| {
        // Whoever comes when there is no room finds the connection closed.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard);
        heard
    };
    for _ in 0..5 {
        assert_eq!(ask(Box::new(UnixStream::connect(&path).expect("connect"))), ANSWER);
        assert_eq!(ask(Box::new(TcpStream::connect(("127.0.0.1", port)).expect("connect"))), ANSWER);
    }
    let mut nobody = UnixStream::connect(&nowhere).expect("connect");
    let mut heard = String::new();
    let _ = nobody.read_to_string(&mut heard);
    assert_eq!(heard, "", "nobody listens at the client");
    let many: Vec<_> = (0..100).map(|_| UnixStream::connect(&path).expect("connect")).collect();
    drop(many);
    wait_for(|| ask(Box::new(UnixStream::connect(&path).expect("connect"))) == ANSWER);
    ssh.kill().expect("kill");
    ssh.wait().expect("the end");
    wait_for(|| servers(&daemon).is_empty() && !path.exists());
}

trait Both: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Both for T {}

#[test]
fn what_is_not_served_is_refused() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    for place in ["no.such.name:0:127.0.0.1:1", "/no/such/folder/socket:127.0.0.1:1"] {
        let remote = output(&mut client.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", place], "true"));
        assert_eq!(remote.status.code(), Some(255), "{place}");
        assert!(errors(&remote).contains("forwarding failed"), "{}", errors(&remote));
    }
    // An agent is not forwarded, and nothing else is lost by asking.
    let agent = output(&mut client.ssh(&["-A"], "echo \"agent:$SSH_AUTH_SOCK\""));
    assert_eq!(String::from_utf8_lossy(&agent.stdout), "agent:\n");
    let subsystem = output(&mut client.ssh(&["-s"], "unknown"));
    assert_eq!(subsystem.status.code(), Some(255), "{}", errors(&subsystem));
}
