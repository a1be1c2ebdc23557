//! What a client may send before there are keys, and what becomes of it when it is changed.

use super::*;
use crate::encoding::Reader;

fn transport() -> Transport {
    Transport::begin(HostKey::from_seed(&[1; 32]).unwrap()).unwrap()
}

/// A client's first words: its version, its offer, and its half of the exchange.
fn first_words(is_strict: bool) -> Vec<u8> {
    let exchanges =
        if is_strict { "curve25519-sha256,kex-strict-c-v00@openssh.com" } else { "curve25519-sha256" };
    let offer = Vec::new().byte(message::KEXINIT).raw(&[0; 16]).string(exchanges.as_bytes());
    let cipher = crate::cipher::CHACHA.as_bytes();
    let offer = offer.string(b"ssh-ed25519").string(cipher).string(cipher).string(b"x").string(b"x");
    let offer = offer.string(b"none").string(b"none").string(&[]).string(&[]).byte(0).number(0);
    let half = Vec::new().byte(message::KEX_ECDH_INIT).string(&[9; 32]);
    let mut words = b"SSH-2.0-test\r\n".to_vec();
    let mut sealer = Sealer::clear();
    sealer.seal(&offer, &mut words).unwrap();
    sealer.seal(&half, &mut words).unwrap();
    sealer.seal(&[message::NEWKEYS], &mut words).unwrap();
    words
}

#[test]
fn keys_are_agreed_on_however_the_bytes_arrive() {
    let words = first_words(true);
    for piece in [1, 7, words.len()] {
        let mut transport = transport();
        let mut message = Vec::new();
        for bytes in words.chunks(piece) {
            transport.feed(bytes);
            assert!(!transport.next(&mut message).unwrap(), "nothing of it is for the layers above");
        }
        assert!(!transport.is_exchanging());
        assert_eq!(transport.opener.packets, 0, "the count began again with the keys");
        // What the server has said: its version, its offer, its half signed, and that new keys follow.
        let mut said = transport.outgoing.split_off(VERSION.len() + 2);
        let mut opener = Opener::clear();
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let found = opener.open(&mut said).unwrap().expect("whole");
            kinds.push(said[found.message.start]);
            said.drain(..found.packet_bytes);
        }
        assert_eq!((kinds, said.len()), (vec![20, 31, 21], 0));
    }
}

#[test]
fn the_strict_rules_allow_nothing_beside_the_exchange() {
    for (is_strict, is_refused) in [(true, true), (false, false)] {
        let words = first_words(is_strict);
        let mut transport = transport();
        let mut message = Vec::new();
        // Up to the end of the offer, then a message that means nothing.
        let offer = Reader::new(&words[14..]).number().unwrap();
        let end = 14 + 4 + usize::try_from(offer).unwrap();
        transport.feed(&words[..end]);
        transport.next(&mut message).unwrap();
        let mut ignore = Vec::new();
        Sealer::clear().seal(&Vec::new().byte(message::IGNORE).string(b"x"), &mut ignore).unwrap();
        transport.feed(&ignore);
        assert_eq!(transport.next(&mut message).is_err(), is_refused);
    }
}

#[test]
fn no_change_of_the_first_words_does_more_than_end_the_connection() {
    let words = first_words(true);
    let mut state = 11_u64;
    let mut number = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut ended = 0;
    for _ in 0..20_000 {
        let mut changed = words.clone();
        for _ in 0..=number(3) {
            let place = number(changed.len());
            match number(3) {
                0 => changed[place] = u8::try_from(number(256)).unwrap(),
                1 => drop(changed.remove(place)),
                _ => changed.insert(place, u8::try_from(number(256)).unwrap()),
            }
        }
        let mut transport = transport();
        transport.feed(&changed);
        let mut message = Vec::new();
        let outcome = transport.next(&mut message);
        assert!(!matches!(outcome, Ok(true)) || message.first() == Some(&message::DISCONNECT));
        ended += u32::from(outcome.is_err());
        assert!(transport.outgoing.len() < 4096);
    }
    assert!(ended > 1_000, "only {ended} were noticed");
}
