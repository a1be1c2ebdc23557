//! Which algorithms both sides use (RFC 4253 §7.1).

use crate::cipher::{AES_GCM, CHACHA};
use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;
use crate::host_key;
use crate::message;

const EXCHANGES: [&str; 2] = ["curve25519-sha256", "curve25519-sha256@libssh.org"];
/// Says that sequence numbers start again with new keys, so that nobody can remove packets unseen.
const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";
const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
const CIPHERS: [&str; 2] = [CHACHA, AES_GCM];
const NONE: &str = "none";
/// Never used, because both ciphers authenticate; but a client may insist on a common name.
const CODES: [&str; 1] = ["hmac-sha2-256-etm@openssh.com"];
const COOKIE_BYTES: usize = 16;

/// What both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The cipher of what the client sends.
    pub(crate) inward: &'static str,
    /// The cipher of what the server sends.
    pub(crate) outward: &'static str,
    /// Whether the client knows the strict rules for the first exchange.
    pub(crate) is_strict: bool,
    /// Whether the client has sent a next packet on a guess that was wrong.
    pub(crate) is_guess_wrong: bool,
}

/// Returns the server's offer.
pub(crate) fn offer(cookie: [u8; COOKIE_BYTES]) -> Vec<u8> {
    let list = |names: &[&str]| names.join(",").into_bytes();
    let mut exchanges = EXCHANGES.to_vec();
    exchanges.push(STRICT_SERVER);
    let offer = Vec::new().byte(message::KEXINIT).raw(&cookie);
    let offer = offer.string(&list(&exchanges)).string(host_key::ALGORITHM.as_bytes());
    let offer = offer.string(&list(&CIPHERS)).string(&list(&CIPHERS));
    let offer = offer.string(&list(&CODES)).string(&list(&CODES));
    let offer = offer.string(NONE.as_bytes()).string(NONE.as_bytes());
    // No languages, no guess, nothing reserved.
    offer.string(&[]).string(&[]).byte(0).number(0)
}

/// Chooses from a client's offer: of each list the client's first that the server has, too.
pub(crate) fn choose(offer: &[u8]) -> Result<Choice, SshError> {
    let mut reader = Reader::new(offer);
    if reader.byte()? != message::KEXINIT {
        return Err(SshError::Malformed { what: "an offer of algorithms" });
    }
    reader.bytes(COOKIE_BYTES)?;
    let exchanges = reader.names()?;
    let keys = reader.names()?;
    let exchange = common("key exchange", &exchanges, &EXCHANGES)?;
    let key = common("host key", &keys, &[host_key::ALGORITHM])?;
    let inward = common("cipher", &reader.names()?, &CIPHERS)?;
    let outward = common("cipher", &reader.names()?, &CIPHERS)?;
    // The ciphers authenticate by themselves, so nothing has to be common here.
    reader.names()?;
    reader.names()?;
    common("compression", &reader.names()?, &[NONE])?;
    common("compression", &reader.names()?, &[NONE])?;
    reader.names()?;
    reader.names()?;
    let has_guessed = reader.boolean()?;
    let is_guess_right = exchanges.first() == Some(&exchange) && keys.first() == Some(&key);
    Ok(Choice {
        inward,
        outward,
        is_strict: exchanges.contains(&STRICT_CLIENT),
        is_guess_wrong: has_guessed && !is_guess_right,
    })
}

fn common(what: &'static str, offered: &[&str], ours: &[&'static str]) -> Result<&'static str, SshError> {
    let found = offered.iter().find_map(|name| ours.iter().find(|our| *our == name));
    found.copied().ok_or_else(|| SshError::Negotiation { what, offered: offered.join(",") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(exchanges: &str, ciphers: &str, has_guessed: bool) -> Vec<u8> {
        let offer = Vec::new().byte(message::KEXINIT).raw(&[0; COOKIE_BYTES]);
        let offer = offer.string(exchanges.as_bytes()).string(b"ssh-rsa,ssh-ed25519");
        let offer = offer.string(ciphers.as_bytes()).string(ciphers.as_bytes());
        let offer = offer.string(b"x").string(b"x").string(b"zlib,none").string(b"none");
        offer.string(&[]).string(&[]).byte(u8::from(has_guessed)).number(0)
    }

    #[test]
    fn the_clients_order_decides() {
        let choice = choose(&client("x,curve25519-sha256", &format!("x,{AES_GCM},{CHACHA}"), true)).unwrap();
        let expected = Choice { inward: AES_GCM, outward: AES_GCM, is_strict: false, is_guess_wrong: true };
        assert_eq!(choice, expected);
        let strict = format!("curve25519-sha256,{STRICT_CLIENT}");
        assert!(choose(&client(&strict, CHACHA, false)).unwrap().is_strict);
    }

    #[test]
    fn nothing_in_common_is_told_with_what_was_offered() {
        let error = choose(&client("diffie-hellman-group1-sha1", CHACHA, false)).unwrap_err().to_string();
        assert_eq!(error, "no common key exchange; the client offers diffie-hellman-group1-sha1");
        choose(&client("curve25519-sha256", "3des-cbc", false)).unwrap_err();
        choose(&client("curve25519-sha256", CHACHA, false)[..40]).unwrap_err();
        // Our own offer is one that we could take ourselves.
        assert!(choose(&offer([1; 16])).is_ok());
    }
}
