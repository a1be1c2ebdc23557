//! Questions and answers as bytes, good ones and hostile ones.

use super::*;

fn wire(labels: &[&[u8]]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(u8::try_from(label.len()).expect("a label"));
        name.extend_from_slice(label);
    }
    name.push(0);
    name
}

fn question(name: &[u8], kind: u16) -> Vec<u8> {
    let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}

/// An answer of records that are name, type, data; every name is written out unless it is a reference.
fn answer(records: &[(&[u8], u16, u32, &[u8])]) -> (Vec<u8>, Name) {
    let mut bytes = question(&wire(&[b"www", b"example", b"com"]), TYPE_A);
    bytes[2] = 0x81;
    bytes[7] = u8::try_from(records.len()).expect("few");
    for (owner, kind, ttl_s, data) in records {
        bytes.extend_from_slice(owner);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes.extend_from_slice(&ttl_s.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(data);
    }
    (bytes, Name(wire(&[b"www", b"example", b"com"])))
}

const SAME: &[u8] = &[0xc0, 12];

#[test]
fn a_question_is_read_in_lower_case_and_repeated_as_it_was() {
    let bytes = question(&wire(&[b"WwW", b"eXample", b"COM"]), TYPE_A);
    let question = read_question(&bytes).expect("a question");
    assert_eq!(question.name.text().as_deref(), Some("www.example.com"));
    assert_eq!((question.kind, question.class, question.datagram_bytes()), (TYPE_A, CLASS_INTERNET, 512));
    let reply = question.answer(NO_ERROR, &[Ipv4Addr::new(192, 0, 2, 1)], 60, 512);
    assert!(reply.windows(16).any(|part| part == &bytes[12..28]), "the case is kept");
    assert_eq!(&reply[..4], [0xab, 0xcd, 0x81, 0x80]);
    assert_eq!(&reply[reply.len() - 4..], [192, 0, 2, 1]);
}

#[test]
fn names_with_anything_odd_have_no_text() {
    let long = [b'a'; 63];
    let longest: Vec<&[u8]> = vec![&long, &long, &long, &long[..61]];
    assert_eq!(Name(wire(&longest)).text().map(|text| text.len()), Some(253));
    let odd: [&[&[u8]]; 10] = [
        &[],
        &[b"evil.com\0", b"example", b"com"],
        &[b"a.b", b"com"],
        &[b"a b"],
        &[b"\xc3\xa9", b"com"],
        &[b"*", b"com"],
        &[b"a\x7f"],
        &[b"a\\b"],
        &[b"a/b"],
        &[b"a@b"],
    ];
    for labels in odd {
        assert_eq!(Name(wire(labels)).text(), None, "{labels:?}");
    }
    let nul = Name(wire(&[b"example.com\0", b"evil", b"org"]));
    assert_eq!(nul.shown(), "\\x0cexample.com\\x00\\x04evil\\x03org\\x00");
}

#[test]
fn what_is_no_question_is_refused_or_ignored() {
    let good = question(&wire(&[b"example", b"com"]), TYPE_A);
    for length in 0..good.len() {
        assert!(read_question(&good[..length]).is_err(), "{length}");
    }
    let change = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        read_question(&bytes).expect_err("no question").0
    };
    assert_eq!(change(2, 0x81), None, "an answer gets none");
    let outcome = |reply: Option<Vec<u8>>| reply.map(|reply| reply[3] & 15);
    assert_eq!(outcome(change(2, 0x28)), Some(NOT_IMPLEMENTED), "an update");
    for (at, value) in [(5, 2), (5, 0), (7, 1), (9, 1), (11, 1), (11, 2), (12, 0xc0), (12, 64), (12, 0x40)] {
        assert_eq!(outcome(change(at, value)), Some(FORMAT_ERROR), "{at}");
    }
    let trailing = [good.as_slice(), b"x"].concat();
    assert!(read_question(&trailing).is_err());
    let reference = question(&[0xc0, 12], TYPE_A);
    assert!(read_question(&reference).is_err(), "a name that refers to itself");
    let label = [b'a'; 63];
    let too_long = question(&wire(&[&label, &label, &label, &label]), TYPE_A);
    assert!(read_question(&too_long).is_err());
}

#[test]
fn the_asker_says_how_much_it_takes() {
    for (says, takes) in [(0, 512), (512, 512), (1000, 1000), (4096, 1232), (65_535, 1232)] {
        let mut bytes = question(&wire(&[b"example", b"com"]), TYPE_A);
        bytes[11] = 1;
        bytes.extend_from_slice(&options(says));
        let question = read_question(&bytes).expect("a question");
        assert_eq!(question.datagram_bytes(), takes, "{says}");
        let many: Vec<Ipv4Addr> = (0..32).map(Ipv4Addr::from_bits).collect();
        let reply = question.answer(NO_ERROR, &many, 60, question.datagram_bytes());
        let cut = reply[2] & 2 != 0;
        assert_eq!((cut, reply.len() < 100), (takes == 512, takes == 512));
        let with_more = [bytes.as_slice(), &[1]].concat();
        assert!(read_question(&with_more).is_err());
    }
}

#[test]
fn our_own_question_is_one() {
    let name = Name(wire(&[b"example", b"com"]));
    let bytes = write_question(7, &name);
    let question = read_question(&bytes).expect("a question");
    assert_eq!((question.id, question.name, question.kind), (7, name, TYPE_A));
}

#[test]
fn aliases_are_followed_and_strangers_records_are_not_taken() {
    let real = wire(&[b"real", b"example", b"net"]);
    let middle = wire(&[b"middle", b"example", b"net"]);
    let (bytes, name) = answer(&[
        (&real, TYPE_A, 300, &[192, 0, 2, 1]),
        (&middle, TYPE_CNAME, 50, &real),
        (SAME, TYPE_CNAME, 600, &middle),
        (&wire(&[b"other", b"com"]), TYPE_A, 1, &[192, 0, 2, 66]),
        (SAME, TYPE_A, 1, &[192, 0, 2, 67]),
        (&real, TYPE_A, 40, &[192, 0, 2, 2]),
        (&real, 28, 1, &[0; 16]),
    ]);
    let told = read_answer(&bytes, 0xabcd, &name).expect("an answer");
    assert_eq!(told.addresses, [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)]);
    assert_eq!((told.outcome, told.ttl_s, told.truncated), (NO_ERROR, 40, false));
}

#[test]
fn only_the_answer_to_the_question_counts() {
    let (bytes, name) = answer(&[(SAME, TYPE_A, 60, &[192, 0, 2, 1])]);
    assert!(read_answer(&bytes, 0xabcd, &name).is_some());
    assert!(read_answer(&bytes, 0xabce, &name).is_none(), "another id");
    assert!(read_answer(&bytes, 0xabcd, &Name(wire(&[b"www", b"example", b"org"]))).is_none());
    for (at, value) in [(2, 1), (2, 0xa9), (5, 0), (5, 2), (30, 28), (32, 3)] {
        let mut changed = bytes.clone();
        changed[at] = value;
        assert!(read_answer(&changed, 0xabcd, &name).is_none(), "{at}");
    }
    let mut refused = bytes.clone();
    refused[3] = 0x83;
    assert_eq!(read_answer(&refused, 0xabcd, &name).map(|answer| answer.outcome), Some(NO_SUCH_NAME));
    let mut cut = bytes;
    cut[2] |= 2;
    let cut = read_answer(&cut, 0xabcd, &name).expect("an answer");
    assert!(cut.truncated && cut.addresses.is_empty());
}

#[test]
fn circles_end() {
    let (bytes, name) = answer(&[(SAME, TYPE_CNAME, 60, SAME), (SAME, TYPE_A, 60, &[192, 0, 2, 1])]);
    assert_eq!(read_answer(&bytes, 0xabcd, &name).map(|answer| answer.addresses.len()), Some(1));
    // A reference to itself, and one forward.
    for target in [33_u8, 40] {
        let (bytes, name) = answer(&[(&[0xc0, target], TYPE_A, 60, &[192, 0, 2, 1])]);
        assert_eq!(read_answer(&bytes, 0xabcd, &name), None);
    }
}

#[test]
fn no_bytes_whatever_break_it() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let real = wire(&[b"real", b"example", b"net"]);
    let (good, name) = answer(&[
        (SAME, TYPE_CNAME, 600, &real),
        (&real, TYPE_A, 300, &[192, 0, 2, 1]),
        (&[0xc0, 45], TYPE_A, 300, &[192, 0, 2, 2]),
    ]);
    for _ in 0..200_000 {
        let mut bytes = good.clone();
        for _ in 0..=next() % 4 {
            let at = usize::try_from(next()).expect("64 bits") % bytes.len();
            bytes[at] = next().to_le_bytes()[0];
        }
        bytes.truncate(usize::try_from(next()).expect("64 bits") % (bytes.len() + 1));
        if let Some(answer) = read_answer(&bytes, 0xabcd, &name) {
            assert!(answer.addresses.len() <= 2);
        }
        if let Ok(question) = read_question(&bytes) {
            assert!(question.name.shown().len() <= 4 * NAME_BYTES);
        }
    }
}
