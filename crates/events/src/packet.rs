//! Engine.IO 4 and Socket.IO 5 packets, as far as a server needs them that only tells.

use axum::extract::ws::Utf8Bytes;
use serde_json::{Value, json};

use crate::settings::Settings;

/// The longest name of a namespace that is answered.
const NAMESPACE_BYTES: usize = 64;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'text> {
    /// The end of the connection.
    Close,
    /// A question whether we are there, with the text that the answer repeats.
    Ping(&'text str),
    /// The answer to our question.
    Pong,
    /// A wish to enter the only namespace, with a JSON text that says who it is.
    Connect(&'text str),
    /// A wish to enter another namespace, which does not exist.
    Elsewhere(&'text str),
    /// A wish to leave.
    Disconnect,
    /// Something that asks nothing of us, such as an event.
    Other,
}

/// The text is no packet, or one that no client of ours sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads a text frame.
pub(crate) fn read(text: &str) -> Result<Packet<'_>, Malformed> {
    let (kind, rest) = first(text).ok_or(Malformed)?;
    match kind {
        '1' if rest.is_empty() => Ok(Packet::Close),
        '2' if rest.len() <= NAMESPACE_BYTES => Ok(Packet::Ping(rest)),
        '3' => Ok(Packet::Pong),
        '4' => message(rest),
        '6' if rest.is_empty() => Ok(Packet::Other),
        _ => Err(Malformed),
    }
}

/// Reads what an Engine.IO message carries. Attachments are refused: they would have to be waited for.
fn message(text: &str) -> Result<Packet<'_>, Malformed> {
    let (kind, rest) = first(text).ok_or(Malformed)?;
    let (namespace, rest) = namespace(rest)?;
    match (kind, namespace) {
        ('0', "/") => Ok(Packet::Connect(rest)),
        ('0', other) => Ok(Packet::Elsewhere(other)),
        ('1', "/") => Ok(Packet::Disconnect),
        ('1' | '2' | '3', _) => Ok(Packet::Other),
        _ => Err(Malformed),
    }
}

/// Takes the namespace off the front: `/name,` or nothing, which is `/`.
fn namespace(text: &str) -> Result<(&str, &str), Malformed> {
    if !text.starts_with('/') {
        return Ok(("/", text));
    }
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    // A client may write a query behind the name; it says nothing to us.
    let name = name.split_once('?').map_or(name, |(name, _)| name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
    if name.len() > NAMESPACE_BYTES || !name.bytes().all(plain) {
        return Err(Malformed);
    }
    Ok((name, rest))
}

fn first(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    let first = characters.next()?;
    Some((first, characters.as_str()))
}

/// Returns the token that a client sent to say who it is.
pub(crate) fn token(text: &str) -> Option<String> {
    let Ok(Value::Object(mut said)) = serde_json::from_str(text) else { return None };
    match said.remove("token") {
        Some(Value::String(token)) if !token.is_empty() => Some(token),
        _ => None,
    }
}

/// Begins a connection: its id, and what it may do.
pub(crate) fn open(id: &str, settings: &Settings) -> Utf8Bytes {
    let milliseconds =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let body = json!({
        "sid": id,
        "upgrades": [],
        "pingInterval": milliseconds(settings.ping_interval),
        "pingTimeout": milliseconds(settings.ping_timeout),
        "maxPayload": settings.packet_bytes,
    });
    format!("0{body}").into()
}

/// Asks a client whether it is there.
pub(crate) const PING: Utf8Bytes = Utf8Bytes::from_static("2");

/// Puts a client out of the namespace.
pub(crate) const LEAVE: Utf8Bytes = Utf8Bytes::from_static("41");

/// Answers a client's question.
pub(crate) fn pong(question: &str) -> Utf8Bytes {
    format!("3{question}").into()
}

/// Lets a client in.
pub(crate) fn welcome(id: &str) -> Utf8Bytes {
    format!("40{}", json!({ "sid": id })).into()
}

/// Keeps a client out of a namespace.
pub(crate) fn refuse(namespace: &str, message: &str) -> Utf8Bytes {
    let body = json!({ "message": message });
    if namespace == "/" { format!("44{body}").into() } else { format!("44{namespace},{body}").into() }
}

/// Tells of something.
pub(crate) fn event(name: &str, payload: &Value) -> Utf8Bytes {
    format!("42{}", json!([name, payload])).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_read() {
        for (text, packet) in [
            ("1", Packet::Close),
            ("2", Packet::Ping("")),
            ("2probe", Packet::Ping("probe")),
            ("3", Packet::Pong),
            ("40", Packet::Connect("")),
            (r#"40{"token":"k"}"#, Packet::Connect(r#"{"token":"k"}"#)),
            (r#"40/,{"token":"k"}"#, Packet::Connect(r#"{"token":"k"}"#)),
            ("40/admin", Packet::Elsewhere("/admin")),
            ("40/admin?a=b,{}", Packet::Elsewhere("/admin")),
            ("41", Packet::Disconnect),
            ("41/admin,", Packet::Other),
            (r#"42["hello",1]"#, Packet::Other),
            (r#"4212["hello",1]"#, Packet::Other),
            ("43/a,1[]", Packet::Other),
            ("6", Packet::Other),
        ] {
            assert_eq!(read(text), Ok(packet), "{text}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        let long = format!("40/{},", "a".repeat(NAMESPACE_BYTES));
        let many = format!("2{}", "a".repeat(NAMESPACE_BYTES + 1));
        for text in [
            "",
            "0",
            "5",
            "7",
            "4",
            "44{}",
            "451-[]",
            "461-[]",
            "49",
            "1x",
            "6x",
            "40/\u{1f600},",
            "40/a b,",
            "x",
            "\u{0}",
            "٤0",
            "40/<script>",
            &long,
            &many,
        ] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn only_a_text_is_a_token() {
        assert_eq!(token(r#"{"token":"k","x":[1]}"#).as_deref(), Some("k"));
        let deep = "[".repeat(100_000);
        for text in
            ["", "{}", "[]", "null", r#""k""#, r#"{"token":1}"#, r#"{"token":""}"#, r#"{"token":"k""#, &deep]
        {
            assert_eq!(token(text), None);
        }
    }

    #[test]
    fn packets_are_written() {
        assert_eq!(welcome("a").as_str(), r#"40{"sid":"a"}"#);
        assert_eq!(refuse("/", "Unauthorized").as_str(), r#"44{"message":"Unauthorized"}"#);
        assert_eq!(refuse("/a", "no").as_str(), r#"44/a,{"message":"no"}"#);
        assert_eq!(event("e", &json!({ "a": 1 })).as_str(), r#"42["e",{"a":1}]"#);
        let opened = open("a", &Settings::default());
        let body: Value = serde_json::from_str(opened.as_str().strip_prefix('0').expect("0")).expect("JSON");
        assert_eq!(body["pingInterval"], 25_000);
        assert_eq!(body["pingTimeout"], 20_000);
        assert_eq!(body["upgrades"], json!([]));
    }

    proptest! {
        #[test]
        fn no_text_ends_the_process(text in "\\PC{0,80}|[0-6]{0,4}[/,{}\\[\\]\"a-z]{0,40}") {
            if let Ok(Packet::Connect(said)) = read(&text) {
                let _ = token(said);
            }
        }
    }
}
