//! Two streams in one: marks of three bytes say which of them follows, and no output can be mistaken for a mark.

/// How long a mark is.
const MARK_BYTES: usize = 3;

/// Where a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

impl Stream {
    /// Both, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Output, Self::Errors];

    /// What its mark is made of.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Output => 1,
            Self::Errors => 2,
        }
    }

    /// The other one.
    const fn other(self) -> Self {
        match self {
            Self::Output => Self::Errors,
            Self::Errors => Self::Output,
        }
    }
}

/// Writes marks where the stream changes, and where a line or a frame begins.
///
/// A reader looks for three equal bytes, from left to right. Where the output itself would give it some, marks that change
/// nothing are put in between, so that what it finds is always exactly what was printed.
#[derive(Debug, Default)]
pub struct Marker {
    current: Option<Stream>,
    /// The byte that the payload since the last mark ends with, and how often.
    run: (u8, usize),
    marks_lines: bool,
    is_line_start: bool,
}

impl Marker {
    /// Marks each line, as those expect who read a log as a whole.
    pub fn of_lines() -> Self {
        Self { marks_lines: true, ..Self::default() }
    }

    /// Marks each frame. Not each line: official clients take a while for every mark.
    pub fn of_frames() -> Self {
        Self::default()
    }

    /// Appends some output; `is_frame` puts a mark first in any case. Never ends on a mark.
    pub fn write(&mut self, stream: Stream, payload: &[u8], is_frame: bool, into: &mut Vec<u8>) {
        let mut is_due = is_frame || self.is_line_start || self.current != Some(stream);
        for &byte in payload {
            let would_be_a_mark = matches!(byte, 1 | 2) && self.run.0 == byte && self.run.1 + 1 == MARK_BYTES;
            if is_due || would_be_a_mark {
                self.mark(stream, into);
            }
            into.push(byte);
            self.run = if self.run.0 == byte { (byte, self.run.1 + 1) } else { (byte, 1) };
            is_due = self.marks_lines && byte == b'\n';
        }
        if !payload.is_empty() {
            self.is_line_start = is_due;
        }
    }

    fn mark(&mut self, stream: Stream, into: &mut Vec<u8>) {
        // Bytes that look like the beginning of this mark would be taken for it.
        if self.run.0 == stream.byte() && self.run.1 > 0 {
            into.extend([stream.other().byte(); MARK_BYTES]);
        }
        into.extend([stream.byte(); MARK_BYTES]);
        self.current = Some(stream);
        self.run = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the official clients do: three equal bytes, from left to right, choose the stream.
    fn split(bytes: &[u8]) -> [Vec<u8>; 2] {
        let mut found = [Vec::new(), Vec::new()];
        let (mut current, mut rest) = (None, bytes);
        while let Some((&byte, after)) = rest.split_first() {
            if rest.starts_with(&[1; 3]) || rest.starts_with(&[2; 3]) {
                current = Some(usize::from(byte) - 1);
                rest = &rest[3..];
            } else {
                found[current.expect("output before the first mark")].push(byte);
                rest = after;
            }
        }
        found
    }

    /// Every sequence of up to `length` pieces of this alphabet.
    fn sequences(length: usize) -> Vec<Vec<(Stream, u8)>> {
        let mut all: Vec<Vec<(Stream, u8)>> = vec![vec![]];
        let mut last = all.clone();
        for _ in 0..length {
            let longer = |sequence: &Vec<(Stream, u8)>| {
                let mut made = Vec::new();
                for stream in Stream::BOTH {
                    for byte in [1, 2, b'\n', b'x'] {
                        made.push([sequence.as_slice(), &[(stream, byte)]].concat());
                    }
                }
                made
            };
            last = last.iter().flat_map(longer).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn whatever_is_printed_is_found_again() {
        for sequence in sequences(6) {
            let mut expected = [Vec::new(), Vec::new()];
            for (stream, byte) in &sequence {
                expected[usize::from(stream.byte()) - 1].push(*byte);
            }
            for is_frame in [false, true] {
                let mut marker = if is_frame { Marker::of_frames() } else { Marker::of_lines() };
                let mut whole = Vec::new();
                for (stream, byte) in &sequence {
                    let before = whole.len();
                    marker.write(*stream, &[*byte], is_frame, &mut whole);
                    let frame = &whole[before..];
                    assert_eq!(frame.last(), Some(byte), "a frame ends with what was printed");
                    assert!(!is_frame || frame.len() > 3, "a frame begins with a mark");
                }
                assert_eq!(split(&whole), expected, "{sequence:?} {is_frame}: {whole:?}");
            }
        }
    }

    #[test]
    fn long_runs_of_marks_survive_in_one_piece() {
        for payload in [vec![1; 50], vec![2; 50], [[1; 4], [2; 4]].concat().repeat(9)] {
            let mut whole = Vec::new();
            let mut marker = Marker::of_frames();
            marker.write(Stream::Output, &payload, true, &mut whole);
            marker.write(Stream::Errors, &payload, true, &mut whole);
            assert_eq!(split(&whole), [payload.clone(), payload]);
        }
    }

    #[test]
    fn ordinary_lines_are_marked_as_everybody_expects() {
        let (mut marker, mut whole) = (Marker::of_lines(), Vec::new());
        marker.write(Stream::Output, b"a\nb\nNa", false, &mut whole);
        marker.write(Stream::Output, b"me: ", false, &mut whole);
        marker.write(Stream::Errors, b"oh\n", false, &mut whole);
        marker.write(Stream::Output, b"c", false, &mut whole);
        assert_eq!(whole, b"\x01\x01\x01a\n\x01\x01\x01b\n\x01\x01\x01Name: \x02\x02\x02oh\n\x01\x01\x01c");
        let mut frame = Vec::new();
        Marker::of_frames().write(Stream::Errors, b"a\nb\n", true, &mut frame);
        assert_eq!(frame, b"\x02\x02\x02a\nb\n");
    }
}
