//! Forwarding.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
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
fn what_is_not_served_is_refused() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let remote = output(&mut client.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"], "true"));
    assert_eq!(remote.status.code(), Some(255));
    assert!(errors(&remote).contains("remote port forwarding failed"), "{}", errors(&remote));
    // An agent is not forwarded, and nothing else is lost by asking.
    let agent = output(&mut client.ssh(&["-A"], "echo \"agent:$SSH_AUTH_SOCK\""));
    assert_eq!(String::from_utf8_lossy(&agent.stdout), "agent:\n");
    let subsystem = output(&mut client.ssh(&["-s"], "unknown"));
    assert_eq!(subsystem.status.code(), Some(255), "{}", errors(&subsystem));
}
