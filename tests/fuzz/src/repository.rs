//! Addresses of repositories, and what git servers say.

use git::advertisement::Advertisement;
use git::location::{self, Location};
use git::packet::{self, Packet};

/// An address is read or refused; what is shown of it never holds its password.
pub fn location(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let shown = location::without_credentials(text);
    assert_eq!(location::without_credentials(&shown), shown);
    let Ok((location, credentials)) = Location::parse(text) else { return };
    // Shown, it is an address again, and one that asks for no credentials.
    let again = Location::parse(&location.to_string());
    assert!(again.as_ref().is_ok_and(|(_, none)| none.is_none()), "{text:?} {location}");
    let _ = credentials.is_some_and(|credentials| credentials.password().is_empty());
}

/// What a server advertises is read to its end or refused.
pub fn advertisement(bytes: &[u8]) {
    let mut reader = bytes;
    while let Ok(Packet::Data(data)) = packet::read(&mut reader) {
        let text = packet::text(&data);
        assert!(!packet::printable(&text).contains('\u{1b}'), "{text:?}");
    }
    let service = "git-upload-pack";
    let mut proper = Vec::new();
    packet::push(&mut proper, format!("# service={service}\n").as_bytes());
    packet::push_flush(&mut proper);
    proper.extend_from_slice(bytes);
    for mut reader in [bytes, proper.as_slice()] {
        if let Ok(advertisement) = Advertisement::read(&mut reader, service) {
            let _ = (advertisement.can("push-options"), advertisement.find("HEAD"));
        }
    }
}
