//! What a client may send once it is in, and what becomes of it when it is changed.

use std::collections::BTreeMap;

use super::*;
use crate::arrival::{Arrival, Place};
use crate::channel::Flow;

fn connection() -> Connection {
    let host = Host {
        seed: [1; 32],
        shell: "/bin/true".to_owned(),
        directory: "/".to_owned(),
        variables: BTreeMap::new(),
        file_server: ("/bin/true".to_owned(), vec!["true".to_owned()]),
    };
    let mut connection = Connection::new(Arc::new(host)).unwrap();
    connection.is_authenticated = true;
    connection
}

fn open(kind: &str, rest: &[u8]) -> Vec<u8> {
    let message = Vec::new().byte(message::CHANNEL_OPEN).string(kind.as_bytes());
    message.number(7).number(1 << 20).number(32 * 1024).raw(rest)
}

fn request(kind: &str, rest: &[u8]) -> Vec<u8> {
    Vec::new().byte(message::CHANNEL_REQUEST).number(0).string(kind.as_bytes()).byte(1).raw(rest)
}

/// Messages of every kind that is taken.
fn messages() -> Vec<Vec<u8>> {
    let window = Vec::new().number(80).number(24).number(0).number(0);
    let data = |kind| Vec::new().byte(kind).number(0);
    let target = Vec::new().string(b"127.0.0.1").number(1).string(b"127.0.0.1").number(2);
    vec![
        open("session", &[]),
        request("env", &Vec::new().string(b"NAME").string(b"value")),
        request("pty-req", &Vec::new().string(b"xterm").raw(&window).string(&[53, 0, 0, 0, 1, 0])),
        request("window-change", &window),
        request("shell", &[]),
        request("exec", &Vec::new().string(b"true")),
        request("subsystem", &Vec::new().string(b"sftp")),
        request("signal", &Vec::new().string(b"URG")),
        request("auth-agent-req@openssh.com", &[]),
        open("direct-tcpip", &target),
        open("direct-streamlocal@openssh.com", &Vec::new().string(b"/no/such").string(&[]).number(0)),
        open("unknown", &[]),
        data(message::CHANNEL_DATA).string(b"data"),
        data(message::CHANNEL_EXTENDED_DATA).number(1).string(b"data"),
        data(message::CHANNEL_WINDOW_ADJUST).number(9),
        data(message::CHANNEL_EOF),
        data(message::CHANNEL_CLOSE),
        Vec::new().byte(message::GLOBAL_REQUEST).string(b"keepalive@openssh.com").byte(1),
        Vec::new().byte(message::GLOBAL_REQUEST).string(b"tcpip-forward").byte(1).string(b"").number(0),
        data(message::CHANNEL_OPEN_FAILURE).number(1).string(&[]).string(&[]),
        vec![message::REQUEST_SUCCESS],
        vec![200],
    ]
}

/// Somebody who connected to what the client listens on, and the other end.
fn arrival() -> (Outgoing, tokio::net::UnixStream) {
    let (theirs, ours) = tokio::net::UnixStream::pair().unwrap();
    let place = Place::Path("/somewhere".to_owned());
    (Outgoing::Arrived(Arrival { stream: Stream::Path(ours), place, from: None }), theirs)
}

/// Tells whether the other end was closed.
async fn is_closed(mut theirs: tokio::net::UnixStream) -> bool {
    tokio::io::AsyncReadExt::read(&mut theirs, &mut [0]).await.unwrap() == 0
}

#[tokio::test]
async fn who_arrives_is_offered_to_the_client_which_takes_or_leaves_it() {
    let mut connection = connection();
    let (first, mut taken) = arrival();
    let (second, left) = arrival();
    connection.pass(first).unwrap();
    connection.pass(second).unwrap();
    let confirm = |id| Vec::new().byte(message::CHANNEL_OPEN_CONFIRMATION).number(id).number(9);
    let confirm = |id| confirm(id).number(1 << 20).number(32 * 1024);
    connection.take(&confirm(0)).unwrap();
    let refusal = Vec::new().byte(message::CHANNEL_OPEN_FAILURE).number(1).number(1).string(&[]).string(&[]);
    connection.take(&refusal).unwrap();
    assert!(is_closed(left).await && connection.offered.is_empty());
    connection.take(&Vec::new().byte(message::CHANNEL_DATA).number(0).string(b"hello")).unwrap();
    let mut heard = [0; 5];
    tokio::io::AsyncReadExt::read_exact(&mut taken, &mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    // Nobody is taken twice, nor anybody who was not offered.
    for id in [0, 1, 7] {
        connection.take(&confirm(id)).unwrap_err();
    }
    for _ in connection.channels.len()..CHANNELS {
        connection.pass(arrival().0).unwrap();
    }
    let (one_more, closed) = arrival();
    connection.pass(one_more).unwrap();
    assert!(is_closed(closed).await, "there is no room");
    connection.take(&open("session", &[])).unwrap();
    assert_eq!(connection.channels.len(), 1, "for sessions neither");
}

#[tokio::test]
async fn every_message_is_taken_as_it_is() {
    let mut connection = connection();
    for message in messages() {
        connection.take(&message).unwrap_or_else(|error| panic!("{message:?}: {error}"));
    }
}

#[tokio::test]
async fn no_change_of_a_message_does_more_than_end_the_connection() {
    let messages = messages();
    let mut state = 5_u64;
    let mut number = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut ended = 0;
    for _ in 0..1_000 {
        let mut connection = connection();
        connection.take(&messages[0]).unwrap();
        for _ in 0..8 {
            let mut changed = messages[number(messages.len())].clone();
            let place = number(changed.len());
            match number(3) {
                0 => changed[place] = u8::try_from(number(256)).unwrap(),
                1 => changed.truncate(place),
                _ => changed.insert(place, u8::try_from(number(256)).unwrap()),
            }
            if connection.take(&changed).is_err() {
                ended += 1;
                break;
            }
        }
        assert!(connection.transport.outgoing.len() < 8 * 1024);
        assert!(connection.channels.len() + connection.reaching <= 9);
    }
    assert!(ended > 100, "only {ended} were noticed");
}

#[tokio::test]
async fn nobody_gets_anywhere_without_authentication() {
    for message in messages() {
        let mut connection = connection();
        connection.is_authenticated = false;
        assert!(matches!(connection.take(&message), Err(SshError::Protocol { .. })), "{message:?}");
        assert!(connection.channels.is_empty());
    }
}

#[tokio::test]
async fn channels_have_a_limit_and_their_numbers_are_not_used_again() {
    let mut connection = connection();
    for _ in 0..CHANNELS + 10 {
        connection.take(&open("session", &[])).unwrap();
    }
    assert_eq!(connection.channels.len(), CHANNELS);
    let channel = connection.channels.get(&0).map(|entry| entry.channel.clone()).expect("the first");
    connection.take(&Vec::new().byte(message::CHANNEL_CLOSE).number(0)).unwrap();
    assert!(channel.send(Flow::Output, b"late").await.is_err(), "the channel is closed");
    connection.take(&open("session", &[])).unwrap();
    assert!(!connection.channels.contains_key(&0));
    assert!(connection.channels.contains_key(&u32::try_from(CHANNELS).unwrap()));
    // More than the window holds ends the whole connection.
    let data = Vec::new().byte(message::CHANNEL_DATA).number(1).string(&vec![0; 32 * 1024]);
    for _ in 0..WINDOW_BYTES / (32 * 1024) {
        connection.take(&data).unwrap();
    }
    connection.take(&data).unwrap_err();
}
