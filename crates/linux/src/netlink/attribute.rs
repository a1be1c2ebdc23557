//! Writes and reads the type-length-value attributes of netlink messages, aligned to four bytes (netlink(3)).

/// Marks an attribute whose value is a list of attributes.
const NESTED: u16 = 1 << 15;
/// The bits of an attribute's type that are its number: the two highest are flags.
const NUMBER_MASK: u16 = 0x3fff;
const HEADER_BYTES: usize = 4;

/// A list of attributes under construction, optionally behind a fixed header.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    bytes: Vec<u8>,
}

impl Attributes {
    /// Starts an empty list.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Starts a list behind a fixed header, whose length must be a multiple of four.
    pub fn after(header: &[u8]) -> Self {
        Self { bytes: header.to_vec() }
    }

    /// Adds raw bytes. A value longer than an attribute can be gets a length that the kernel refuses.
    #[must_use]
    pub fn bytes(mut self, number: u16, value: &[u8]) -> Self {
        let length = u16::try_from(HEADER_BYTES + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&number.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Adds text with the NUL at its end that the kernel wants.
    #[must_use]
    pub fn text(self, number: u16, value: &str) -> Self {
        let mut terminated = value.as_bytes().to_vec();
        terminated.push(0);
        self.bytes(number, &terminated)
    }

    /// Adds a number in the machine's byte order, as rtnetlink wants it.
    #[must_use]
    pub fn number(self, number: u16, value: u32) -> Self {
        self.bytes(number, &value.to_ne_bytes())
    }

    /// Adds a number in network byte order, as nfnetlink wants it.
    #[must_use]
    pub fn network_number(self, number: u16, value: u32) -> Self {
        self.bytes(number, &value.to_be_bytes())
    }

    /// Adds a list of attributes as the value of one.
    #[must_use]
    pub fn nested(self, number: u16, inner: &Self) -> Self {
        self.bytes(number | NESTED, &inner.bytes)
    }

    /// Adds the attributes of another list.
    #[must_use]
    pub fn followed_by(mut self, other: &Self) -> Self {
        self.bytes.extend_from_slice(&other.bytes);
        self
    }

    /// Returns the bytes written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads attributes one by one and ends at the first that is malformed.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// Reads the attributes behind a header of `header_bytes`.
pub fn read(body: &[u8], header_bytes: usize) -> Reader<'_> {
    Reader { rest: body.get(header_bytes..).unwrap_or_default() }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.rest.first_chunk()?));
        let number = u16::from_ne_bytes(*self.rest.get(2..)?.first_chunk()?) & NUMBER_MASK;
        let value = self.rest.get(HEADER_BYTES..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((number, value))
    }
}

impl<'a> Reader<'a> {
    /// Returns the value of the first attribute of that number.
    pub fn find(&self, number: u16) -> Option<&'a [u8]> {
        self.clone().find_map(|(found, value)| (found == number).then_some(value))
    }

    /// Returns the value as text without its NUL.
    pub fn find_text(&self, number: u16) -> Option<String> {
        let value = self.find(number)?;
        let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Returns the value as a number in the machine's byte order.
    pub fn find_number(&self, number: u16) -> Option<u32> {
        self.find(number)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// Returns the value as a number in network byte order.
    pub fn find_network_number(&self, number: u16) -> Option<u32> {
        self.find(number)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Returns the attributes inside of one.
    pub fn find_nested(&self, number: u16) -> Option<Reader<'a>> {
        self.find(number).map(|value| read(value, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, read};

    #[test]
    fn what_is_written_is_read_back_with_padding_between() {
        let inner = Attributes::new().network_number(7, 9);
        let written =
            Attributes::after(&[1, 2, 3, 4]).text(1, "ab").number(2, 5).nested(3, &inner).bytes(4, &[]);
        assert_eq!(written.as_bytes().len() % 4, 0);
        let reader = read(written.as_bytes(), 4);
        assert_eq!(reader.find_text(1).as_deref(), Some("ab"));
        assert_eq!(reader.find_number(2), Some(5));
        assert_eq!(reader.find_nested(3).and_then(|inner| inner.find_network_number(7)), Some(9));
        assert_eq!(reader.find(4), Some(&[][..]));
        assert_eq!(reader.find(5), None);
    }

    #[test]
    fn malformed_attributes_end_the_list() {
        for malformed in [&[3, 0, 1, 0][..], &[9, 0, 1, 0, 1], &[4, 0, 1], &[0; 8]] {
            assert_eq!(read(malformed, 0).count(), 0, "{malformed:?}");
        }
        assert_eq!(read(&[1, 2], 4).count(), 0);
    }
}
