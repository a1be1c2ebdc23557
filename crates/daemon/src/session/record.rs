//! How a log is written down: records of a stream, a length and what was printed.

use bytes::Bytes;

use crate::session::mark::Stream;

/// The longest payload of one record.
pub const PAYLOAD_BYTES: usize = 64 * 1024;
/// The stream and the length.
const HEADER_BYTES: usize = 5;
/// The longest record: a block of this length that begins with a record contains one.
pub const RECORD_BYTES: usize = HEADER_BYTES + PAYLOAD_BYTES;

/// Writes a record; the payload is at most [`PAYLOAD_BYTES`] long.
pub fn encode(stream: Stream, payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + payload.len());
    record.push(stream.byte());
    record.extend(u32::try_from(payload.len()).unwrap_or(0).to_le_bytes());
    record.extend_from_slice(payload);
    record
}

/// Returns the whole records at the beginning of a block, and how long they are together.
pub fn decode(block: &Bytes) -> (Vec<(Stream, Bytes)>, usize) {
    let mut records = Vec::new();
    let mut position = 0;
    while let Some((header, rest)) = block.get(position..).and_then(<[u8]>::split_first_chunk::<HEADER_BYTES>)
    {
        let [kind, length @ ..] = *header;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let Some(stream) = Stream::BOTH.into_iter().find(|stream| stream.byte() == kind) else { break };
        if length > rest.len() {
            break;
        }
        let start = position + HEADER_BYTES;
        position = start + length;
        records.push((stream, block.slice(start..position)));
    }
    (records, position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_nonsense_ends_them() {
        let longest = vec![7; PAYLOAD_BYTES];
        let mut block = [encode(Stream::Output, b"a"), encode(Stream::Errors, b"")].concat();
        let short = block.len();
        block.extend(encode(Stream::Errors, &longest));
        let (records, length) = decode(&Bytes::from(block.clone()));
        let texts: Vec<_> = records.iter().map(|(stream, payload)| (*stream, payload.len())).collect();
        assert_eq!(texts, [(Stream::Output, 1), (Stream::Errors, 0), (Stream::Errors, PAYLOAD_BYTES)]);
        assert_eq!(length, block.len());
        block.pop();
        assert_eq!(decode(&Bytes::from(block.clone())).1, short);
        block[short] = 9;
        assert_eq!(decode(&Bytes::from(block)).1, short);
        assert_eq!(decode(&Bytes::from(vec![1, 255, 255, 255, 255])).1, 0);
    }
}
