//! The framing of git's protocol: packets that begin with their length (gitprotocol-common(5)).

use std::io::{self, Read};

/// The longest packet, its four digits included.
const MOST_BYTES: usize = 65_520;

/// A packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// With contents.
    Data(Vec<u8>),
    /// The end of a section.
    Flush,
    /// The end of what was sent.
    End,
}

/// Appends a packet with `data`, which is short.
pub fn push(request: &mut Vec<u8>, data: &[u8]) {
    request.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    request.extend_from_slice(data);
}

/// Appends the end of a section.
pub fn push_flush(request: &mut Vec<u8>) {
    request.extend_from_slice(b"0000");
}

/// Reads one packet; what is no packet is an error.
pub fn read(reader: &mut impl Read) -> io::Result<Packet> {
    let mut digits = [0_u8; 4];
    let mut filled = 0;
    while filled < digits.len() {
        match reader.read(digits.get_mut(filled..).unwrap_or_default()) {
            Ok(0) if filled == 0 => return Ok(Packet::End),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not in git's protocol");
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(invalid());
    }
    let text = std::str::from_utf8(&digits).map_err(|_| invalid())?;
    match usize::from_str_radix(text, 16).map_err(|_| invalid())? {
        0 => Ok(Packet::Flush),
        length @ 4..=MOST_BYTES => {
            let mut data = vec![0; length - 4];
            reader.read_exact(&mut data)?;
            Ok(Packet::Data(data))
        }
        _ => Err(invalid()),
    }
}

/// Returns a line of text without its end.
pub fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data.strip_suffix(b"\n").unwrap_or(data)).into_owned()
}

/// Makes what a server says fit for a message: one line, printable, not long.
pub fn printable(words: &str) -> String {
    const MOST_CHARACTERS: usize = 1_000;
    let words: String = words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"hello\n");
        push_flush(&mut bytes);
        push(&mut bytes, b"");
        assert_eq!(bytes, b"000ahello\n00000004");
        let mut reader = bytes.as_slice();
        assert_eq!(read(&mut reader).expect("data"), Packet::Data(b"hello\n".to_vec()));
        assert_eq!(read(&mut reader).expect("flush"), Packet::Flush);
        assert_eq!(read(&mut reader).expect("empty"), Packet::Data(Vec::new()));
        assert_eq!(read(&mut reader).expect("end"), Packet::End);
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in ["zzzz", "+00a", "0001", "0003", "fff1", "ffff", "00", "000ahel", "<htm"] {
            read(&mut bytes.as_bytes()).expect_err(bytes);
        }
        assert_eq!(printable("a\n\u{1b}[31m b\t"), "a [31m b");
    }
}
