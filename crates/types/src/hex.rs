//! Bytes as text.

use std::fmt::Write as _;

/// Writes bytes as lowercase hexadecimal, two characters each.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_has_two_characters() {
        assert_eq!(super::encode(&[0, 15, 255]), "000fff");
    }
}
