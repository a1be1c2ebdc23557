//! What programs print, on its way through session logs and terminals.

use bytes::Bytes;
use daemon::session::mark::{Marker, Stream};
use daemon::session::record;
use daemon::terminal::sequence::{Parser, retell};

use crate::{choice, pieces};

/// Both streams come out of a marked log as they went in, for a reader that looks for three equal bytes.
pub fn log(bytes: &[u8]) {
    let mut marker = Marker::default();
    let (mut log, mut printed) = (Vec::new(), [Vec::new(), Vec::new()]);
    for piece in pieces(bytes) {
        let (kind, payload) = choice(piece);
        let [output, errors] = &mut printed;
        let (stream, all) = if kind & 1 == 0 { (Stream::Output, output) } else { (Stream::Errors, errors) };
        all.extend_from_slice(payload);
        marker.write(stream, payload, kind & 2 == 0, &mut log);
    }
    assert_eq!(split(&log), printed, "{log:?}");
}

fn split(marked: &[u8]) -> [Vec<u8>; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    let (mut current, mut rest) = (None, marked);
    while let Some((byte, after)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(&[*byte; 3]).filter(|_| matches!(byte, 1 | 2)) {
            (current, rest) = (Some(usize::from(*byte) - 1), behind);
            continue;
        }
        let stream = current.and_then(|number: usize| streams.get_mut(number));
        assert!(stream.is_some(), "output before the first mark: {marked:?}");
        if let Some(stream) = stream {
            stream.push(*byte);
        }
        rest = after;
    }
    streams
}

/// A block of a log is read as far as it holds whole records, which lie in it one behind the other.
pub fn record(bytes: &[u8]) {
    let block = Bytes::copy_from_slice(bytes);
    let (records, length) = record::decode(&block);
    let again: Vec<u8> =
        records.iter().flat_map(|(stream, payload)| record::encode(*stream, payload)).collect();
    assert_eq!(Some(again.as_slice()), bytes.get(..length));
}

/// A terminal's output is followed, in whatever pieces it comes, and told again without questions.
pub fn terminal(bytes: &[u8]) {
    let (mut whole, mut parts) = (Parser::default(), Parser::default());
    whole.pass(bytes);
    pieces(bytes).for_each(|piece| parts.pass(piece));
    assert_eq!((whole.is_between(), whole.state()), (parts.is_between(), parts.state()));
    let told = retell(bytes);
    assert!(told.len() <= bytes.len(), "{told:?}");
    assert_eq!(retell(&told), told, "what is told again is told in full");
}
