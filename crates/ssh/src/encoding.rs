//! The data types of the protocol (RFC 4251 §5).

use crate::error::SshError;

/// Takes values off the front of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], SshError> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(SshError::Malformed { what: "it is too short" })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SshError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or(SshError::Malformed { what: "it is too short" })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, SshError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, SshError> {
        self.byte().map(|byte| byte != 0)
    }

    pub(crate) fn number(&mut self) -> Result<u32, SshError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<u64, SshError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes a string, which may hold any bytes.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], SshError> {
        let length = self.number()?;
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Takes a string that must be text.
    pub(crate) fn text(&mut self) -> Result<&'a str, SshError> {
        std::str::from_utf8(self.string()?).map_err(|_| SshError::Malformed { what: "a text is not UTF-8" })
    }

    /// Takes names that are separated by commas.
    pub(crate) fn names(&mut self) -> Result<Vec<&'a str>, SshError> {
        Ok(self.text()?.split(',').filter(|name| !name.is_empty()).collect())
    }

    /// Returns what was not taken.
    #[cfg(test)]
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }
}

/// Puts values at the end of a message.
pub(crate) trait Writer {
    /// Puts one byte.
    fn byte(self, byte: u8) -> Self;
    /// Puts a number of 32 bits.
    fn number(self, number: u32) -> Self;
    /// Puts a number of 64 bits.
    fn long(self, number: u64) -> Self;
    /// Puts bytes with their length.
    fn string(self, bytes: &[u8]) -> Self;
    /// Puts a positive number of any length, given with its most significant byte first.
    fn integer(self, bytes: &[u8]) -> Self;
    /// Puts bytes as they are.
    fn raw(self, bytes: &[u8]) -> Self;
}

impl Writer for Vec<u8> {
    fn byte(mut self, byte: u8) -> Self {
        self.push(byte);
        self
    }

    fn number(self, number: u32) -> Self {
        self.raw(&number.to_be_bytes())
    }

    fn long(self, number: u64) -> Self {
        self.raw(&number.to_be_bytes())
    }

    fn string(self, bytes: &[u8]) -> Self {
        // Nothing here is near 4 GiB: packets have a limit.
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).raw(bytes)
    }

    fn integer(self, bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let digits = bytes.get(start..).unwrap_or_default();
        if digits.first().is_some_and(|first| first & 0x80 != 0) {
            // A leading zero says that the number is positive.
            let length = u32::try_from(digits.len()).unwrap_or(u32::MAX);
            self.number(length.saturating_add(1)).byte(0).raw(digits)
        } else {
            self.string(digits)
        }
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_written_as_the_standard_shows_them() {
        // The examples of RFC 4251 §5.
        assert_eq!(Vec::new().integer(&[0]), [0, 0, 0, 0]);
        assert_eq!(Vec::new().integer(&[0, 0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(Vec::new().integer(&[0x09, 0xa3, 0x78, 0xf9]), [0, 0, 0, 4, 0x09, 0xa3, 0x78, 0xf9]);
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_beyond_it() {
        let message = Vec::new().byte(7).number(8).long(9).string(b"text").string(b"a,b,,c");
        let mut reader = Reader::new(&message);
        assert_eq!((reader.byte().unwrap(), reader.number().unwrap(), reader.long().unwrap()), (7, 8, 9));
        assert_eq!((reader.text().unwrap(), reader.names().unwrap()), ("text", vec!["a", "b", "c"]));
        assert!(reader.byte().is_err() && reader.rest().is_empty());
        for malformed in [&[0, 0, 0, 5, 1][..], &[255; 4], &[0, 0], &[0, 0, 0, 1, 0xff]] {
            Reader::new(malformed).text().unwrap_err();
        }
    }
}
