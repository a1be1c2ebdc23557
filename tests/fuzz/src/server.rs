//! What language servers and their clients say.

use daemon::file::path::Origin;
use daemon::language_server::{document, frame, protocol};
use futures_util::FutureExt as _;
use serde_json::value::RawValue;

/// Frames are read to the first that is broken; one that was read is written as it came.
pub fn frames(bytes: &[u8]) {
    let mut reader = bytes;
    loop {
        let outcome = frame::read(&mut reader).now_or_never();
        assert!(outcome.is_some(), "reading what is there waits");
        let Some(Ok(Some(message))) = outcome else { return };
        assert!(message.len() <= bytes.len(), "a message is longer than what came");
        let Ok(raw) = serde_json::from_slice::<&RawValue>(&message) else { continue };
        let folders = serde_json::json!([]);
        let _ = protocol::answer(raw, raw.get(), Some(raw), &folders);
    }
}

/// Answers become the contract's symbols and proposals, or are refused; so do the addresses of documents.
pub fn answers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (protocol::symbols(text, "file:///a"), protocol::completions(text));
    let origin = Origin { work_dir: "/work".to_owned(), home: "/home/me".to_owned() };
    for path in document::candidates(&origin, text).unwrap_or_default() {
        assert!(path.is_absolute() && !path.to_string_lossy().contains('\0'), "{}", path.display());
    }
}
