//! Keeps what a command prints within bounds: its beginning, its end, and how much is missing in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much of the beginning of an output is kept.
pub const HEAD_BYTES: usize = 8 * 1024 * 1024;
/// How much of the end of an output is kept.
pub const TAIL_BYTES: usize = 8 * 1024 * 1024;
/// How much all running executions together may keep.
const TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// The memory that outputs may still take, shared by all executions.
#[derive(Debug, Clone)]
pub struct Budget(Arc<AtomicUsize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(TOTAL_BYTES)))
    }
}

impl Budget {
    fn take(&self, bytes: usize) -> bool {
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The output of one execution.
#[derive(Debug)]
pub struct Output {
    budget: Budget,
    head: Vec<u8>,
    head_is_full: bool,
    tail: VecDeque<u8>,
    omitted_bytes: u64,
}

impl Output {
    /// Starts empty.
    pub fn new(budget: Budget) -> Self {
        Self { budget, head: Vec::new(), head_is_full: false, tail: VecDeque::new(), omitted_bytes: 0 }
    }

    /// Adds what was printed next.
    pub fn push(&mut self, bytes: &[u8]) {
        let room =
            if self.head_is_full { 0 } else { HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len()) };
        let (for_head, for_tail) = bytes.split_at_checked(room).unwrap_or((&[], bytes));
        if self.budget.take(for_head.len()) {
            self.head.extend_from_slice(for_head);
            self.push_tail(for_tail);
        } else {
            self.push_tail(bytes);
        }
    }

    fn push_tail(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.head_is_full = true;
        let wanted = bytes.len().min(TAIL_BYTES.saturating_sub(self.tail.len()));
        let granted = if self.budget.take(wanted) { wanted } else { 0 };
        let capacity = self.tail.len() + granted;
        let kept = bytes.len().min(capacity);
        let forgotten = (self.tail.len() + kept).saturating_sub(capacity);
        self.tail.drain(..forgotten);
        self.omitted_bytes += (forgotten + bytes.len() - kept) as u64;
        self.tail.extend(bytes.get(bytes.len() - kept..).unwrap_or_default());
    }

    /// Returns how many bytes are kept.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Returns whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.omitted_bytes == 0
    }

    /// Returns about the last `bytes` bytes as text.
    pub fn tail_text(&self, bytes: usize) -> String {
        let kept = self.head.iter().chain(&self.tail).copied();
        let end: Vec<u8> = kept.skip(self.len().saturating_sub(bytes)).collect();
        String::from_utf8_lossy(&end).into_owned()
    }

    /// Returns the output as text, a piece at a time, so that its text never exists as a whole.
    pub fn into_texts(self) -> Texts {
        let mark = match self.omitted_bytes {
            0 => String::new(),
            bytes => format!("\n[{bytes} bytes omitted: an answer keeps the first and the last 8 MiB]\n"),
        };
        Texts { output: self, mark, segment: 0, offset: 0, decoder: Decoder::default() }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.budget.give_back(self.len());
    }
}

/// The pieces of an output as text.
#[derive(Debug)]
pub struct Texts {
    output: Output,
    mark: String,
    segment: usize,
    offset: usize,
    decoder: Decoder,
}

/// How many bytes become one piece of text.
const PIECE_BYTES: usize = 64 * 1024;

impl Iterator for Texts {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (tail_start, tail_end) = self.output.tail.as_slices();
        let segments = [self.output.head.as_slice(), self.mark.as_bytes(), tail_start, tail_end];
        while let Some(bytes) = segments.get(self.segment) {
            let rest = bytes.get(self.offset..).unwrap_or_default();
            if rest.is_empty() {
                (self.segment, self.offset) = (self.segment + 1, 0);
                continue;
            }
            let piece = rest.get(..PIECE_BYTES).unwrap_or(rest);
            self.offset += piece.len();
            return Some(self.decoder.decode(piece));
        }
        self.decoder.finish()
    }
}

/// Decodes UTF-8 that arrives in pieces; what is not UTF-8 becomes the replacement character.
#[derive(Debug, Default)]
pub struct Decoder {
    carried: Vec<u8>,
}

impl Decoder {
    /// Returns the text of the next piece, but for a character whose end is still to come.
    pub fn decode(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.carried);
        bytes.extend_from_slice(piece);
        let mut text = String::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at_checked(error.valid_up_to()).unwrap_or((rest, &[]));
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(invalid) = error.error_len() else {
                        // The start of a character whose end comes with the next piece.
                        self.carried = after.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = after.get(invalid..).unwrap_or_default();
                }
            }
        }
    }

    /// Returns what stands for a character whose end never came.
    pub fn finish(&mut self) -> Option<String> {
        let carried = std::mem::take(&mut self.carried);
        (!carried.is_empty()).then(|| char::REPLACEMENT_CHARACTER.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(output: Output) -> String {
        output.into_texts().collect()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let mut output = Output::new(Budget::default());
        for piece in ["a\n", "", "é", "b"] {
            output.push(piece.as_bytes());
        }
        assert_eq!(text(output), "a\néb");
    }

    #[test]
    fn head_and_tail_survive_and_the_gap_is_counted() {
        let mut output = Output::new(Budget::default());
        output.push(b"start");
        for _ in 0..40 {
            output.push(&vec![b'x'; 1024 * 1024]);
        }
        output.push(b"end");
        assert_eq!(output.len(), HEAD_BYTES + TAIL_BYTES);
        let total = 5 + 40 * 1024 * 1024 + 3;
        let omitted = total - HEAD_BYTES - TAIL_BYTES;
        let text = text(output);
        assert!(text.starts_with("startxxx") && text.ends_with("xend"));
        assert!(text.contains(&format!("\n[{omitted} bytes omitted")), "the gap is {omitted}");
    }

    #[test]
    fn one_enormous_piece_is_cut_as_well() {
        let mut output = Output::new(Budget::default());
        output.push(&vec![b'x'; HEAD_BYTES + 3 * TAIL_BYTES]);
        assert_eq!((output.len(), output.omitted_bytes), (HEAD_BYTES + TAIL_BYTES, 2 * TAIL_BYTES as u64));
    }

    #[test]
    fn all_executions_share_one_budget_and_give_it_back() {
        let budget = Budget::default();
        let full = || {
            let mut output = Output::new(budget.clone());
            output.push(&vec![b'x'; HEAD_BYTES]);
            output.push(&vec![b'x'; TAIL_BYTES]);
            output
        };
        let four = [full(), full(), full(), full()];
        let mut fifth = Output::new(budget.clone());
        fifth.push(b"hello");
        assert_eq!((fifth.len(), fifth.omitted_bytes), (0, 5));
        drop(four);
        assert_eq!(full().len(), HEAD_BYTES + TAIL_BYTES);
        drop(fifth);
        assert_eq!(budget.0.load(Ordering::Relaxed), TOTAL_BYTES);
    }

    #[test]
    fn characters_split_between_pieces_are_joined_and_garbage_is_replaced() {
        let mut output = Output::new(Budget::default());
        output.push(&vec![b'x'; PIECE_BYTES - 1]);
        output.push("é€".as_bytes());
        output.push(&[0xff, b'y', 0xe2, 0x82]);
        let text = text(output);
        assert!(text.ends_with("xé€\u{fffd}y\u{fffd}"), "{:?}", text.get(text.len() - 20..));
    }

    #[test]
    fn the_end_is_readable_on_its_own() {
        let mut output = Output::new(Budget::default());
        output.push(b"one two three");
        assert_eq!(output.tail_text(5), "three");
    }
}
