//! What a command printed: its beginning, its end, and how much is missing in between; read by any number of followers.
//!
//! A short log lives in memory, a longer one in files without a name that the kernel removes with the last descriptor.
//! Nobody who reads slowly holds up who prints: what has been dropped meanwhile is counted instead.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::file::blocking;
use crate::session::mark::Stream;
use crate::session::record::{self, RECORD_BYTES};
use crate::session::segment::{Place, Segment};
use crate::session::stock::{Kept, Stock};

/// How much of the beginning of a log is kept.
const HEAD_BYTES: u64 = 8 * 1024 * 1024;
/// How much of the end of a log is kept at least.
const TAIL_BYTES: u64 = 8 * 1024 * 1024;
/// How many parts in memory the end of a log has where no file can be had.
const MEMORY_TAIL: usize = 2;
/// How often a place for a record is looked for: others may take what was just found.
const ATTEMPTS: usize = 8;

/// One command's log.
#[derive(Debug)]
pub struct Log {
    stock: Arc<Stock>,
    /// Held while something is added: its order is that of the callers.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    segments: VecDeque<Segment>,
    /// Where the next record begins.
    end: u64,
    /// How much was printed to each stream, whether kept or not.
    printed: [u64; 2],
    /// Whether the last part cannot go on: something was lost behind it.
    is_broken: bool,
    /// Whether a file could not be written to.
    has_no_disk: bool,
    is_discarded: bool,
}

/// What can be done with a record.
enum Room {
    /// It is kept.
    Kept,
    /// It belongs here in a file.
    File(Arc<File>, u64),
    /// Others have to go first.
    Evict,
    /// A new part is needed.
    None,
    /// Nobody will read it.
    Discard,
}

/// How far somebody has read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    position: u64,
    passed: [u64; 2],
}

/// Some of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// What was printed.
    Printed(Stream, Bytes),
    /// How much was printed here that is not kept.
    Omitted(Stream, u64),
}

/// What a look at the log found at a cursor.
enum Found {
    Nothing,
    Pieces(Vec<Piece>),
    Stored { file: Arc<File>, offset: u64, length: usize, segment_end: u64 },
}

impl Log {
    /// Starts empty.
    pub fn new(stock: Arc<Stock>) -> Self {
        Self {
            stock,
            turn: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Adds what was printed next. Never fails: what cannot be kept is counted.
    pub async fn append(&self, stream: Stream, bytes: &[u8]) {
        let _turn = self.turn.lock().await;
        for piece in bytes.chunks(record::PAYLOAD_BYTES) {
            self.add(stream, piece).await;
        }
        self.changed.send_replace(());
    }

    /// Returns something that tells of every addition.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Lets go of what is kept; what is printed from now on is only counted if `is_final`.
    pub fn clear(&self, is_final: bool) {
        let mut state = self.state();
        state.segments.clear();
        state.is_broken = true;
        state.is_discarded |= is_final;
    }

    /// Returns how much was printed.
    pub fn printed_bytes(&self) -> u64 {
        self.state().printed.iter().sum()
    }

    /// Returns where it ends now.
    pub fn end(&self) -> u64 {
        self.state().end
    }

    /// Reads on; empty when there is no more for now.
    pub async fn read(&self, cursor: &mut Cursor) -> Vec<Piece> {
        loop {
            let (file, offset, length, segment_end) = match self.look(cursor) {
                Found::Nothing => return Vec::new(),
                Found::Pieces(pieces) => return pieces,
                Found::Stored { file, offset, length, segment_end } => (file, offset, length, segment_end),
            };
            let read = blocking(move || {
                let mut block = vec![0; length];
                Ok(file.read_exact_at(&mut block, offset).map(|()| Bytes::from(block)))
            });
            let pieces = match read.await {
                Ok(Ok(block)) => cursor.advance(&block),
                _ => Vec::new(),
            };
            if pieces.is_empty() {
                // A disk that cannot be read, or a file that was written to: the next part tells what is missing.
                cursor.position = segment_end;
            } else {
                return pieces;
            }
        }
    }

    fn look(&self, cursor: &mut Cursor) -> Found {
        let state = self.state();
        let behind = |segment: &&Segment| segment.end() > cursor.position;
        let Some(segment) = state.segments.iter().find(behind) else {
            cursor.position = state.end;
            let missing = cursor.skip_to(state.printed);
            return if missing.is_empty() { Found::Nothing } else { Found::Pieces(missing) };
        };
        if segment.start >= cursor.position {
            cursor.position = segment.start;
            let missing = cursor.skip_to(segment.before);
            if !missing.is_empty() {
                return Found::Pieces(missing);
            }
        }
        let offset = cursor.position - segment.start;
        let length = (segment.length - offset).min(RECORD_BYTES as u64);
        let (start, length) = (usize::try_from(offset).unwrap_or(0), usize::try_from(length).unwrap_or(0));
        match &segment.place {
            Place::Memory(bytes) => {
                let block = bytes.get(start..start + length).unwrap_or_default();
                Found::Pieces(cursor.advance(&Bytes::copy_from_slice(block)))
            }
            Place::File(file) => {
                let (file, segment_end) = (Arc::clone(file), segment.end());
                Found::Stored { file, offset, length, segment_end }
            }
        }
    }

    /// Keeps one record, or only counts it.
    async fn add(&self, stream: Stream, piece: &[u8]) {
        let record = record::encode(stream, piece);
        for _ in 0..ATTEMPTS {
            match self.room(stream, piece, &record) {
                Room::Kept => return,
                Room::File(file, offset) => {
                    if self.store(file, record.clone(), offset).await {
                        self.state().advance(stream, piece, record.len());
                        return;
                    }
                }
                Room::Evict if self.stock.evict() => {}
                Room::Evict | Room::None => {
                    let Some(segment) = self.new_segment(record.len()).await else { break };
                    let mut state = self.state();
                    let (start, before) = (state.end, state.printed);
                    state.segments.push_back(Segment { start, before, ..segment });
                    state.is_broken = false;
                    state.trim();
                }
                Room::Discard => break,
            }
        }
        let mut state = self.state();
        state.is_broken = true;
        state.count(stream, piece);
    }

    /// Keeps a record where it can be kept at once.
    fn room(&self, stream: Stream, piece: &[u8], record: &[u8]) -> Room {
        let mut state = self.state();
        if state.is_discarded {
            return Room::Discard;
        }
        let is_broken = state.is_broken;
        let last = state.segments.back_mut().filter(|last| !is_broken && last.has_room(record.len()));
        let Some(last) = last else { return Room::None };
        let is_granted = last.grant.grow(record.len());
        match &mut last.place {
            Place::Memory(bytes) if is_granted => {
                bytes.extend_from_slice(record);
                state.advance(stream, piece, record.len());
                Room::Kept
            }
            // The disk has more.
            Place::Memory(_) => Room::None,
            Place::File(file) if is_granted => Room::File(Arc::clone(file), last.length),
            Place::File(_) => Room::Evict,
        }
    }

    /// Writes a record to a file; says whether it is there.
    async fn store(&self, file: Arc<File>, record: Vec<u8>, offset: u64) -> bool {
        let written = blocking(move || Ok(file.write_all_at(&record, offset))).await;
        let is_written = written.is_ok_and(|written| written.is_ok());
        let mut state = self.state();
        if !is_written {
            // From now on what is in memory has to do.
            (state.is_broken, state.has_no_disk) = (true, true);
        }
        // It may have been let go meanwhile.
        is_written && !state.segments.is_empty()
    }

    /// Makes room for a record: in memory first, then in a file, then in memory again.
    async fn new_segment(&self, record_bytes: usize) -> Option<Segment> {
        let (is_first, has_no_disk) = {
            let state = self.state();
            (state.segments.is_empty(), state.has_no_disk)
        };
        if is_first && let Some(segment) = self.stock.memory_segment(record_bytes) {
            return Some(segment);
        }
        let in_file = if has_no_disk { None } else { self.stock.file_segment().await };
        in_file.or_else(|| self.stock.memory_segment(record_bytes))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept for Log {
    fn let_go(&self) {
        self.clear(false);
    }
}

impl State {
    fn advance(&mut self, stream: Stream, piece: &[u8], record_bytes: usize) {
        self.end += record_bytes as u64;
        if let Some(last) = self.segments.back_mut() {
            last.length += record_bytes as u64;
        }
        self.count(stream, piece);
    }

    fn count(&mut self, stream: Stream, piece: &[u8]) {
        if let Some(printed) = self.printed.get_mut(index(stream)) {
            *printed += piece.len() as u64;
        }
    }

    /// Lets go of what is neither at the beginning nor at the end.
    fn trim(&mut self) {
        let head = self.segments.iter().take_while(|segment| segment.start < HEAD_BYTES).count();
        // The newest is about to be written to, and counts for nothing yet.
        while self.segments.iter().skip(head + 1).map(|segment| segment.length).sum::<u64>() >= TAIL_BYTES {
            self.segments.remove(head);
        }
        // Where there is no disk, what is in memory must not grow with what is printed.
        loop {
            let places = self.segments.iter().enumerate().skip(1);
            let mut in_memory = places.filter(|(_, segment)| matches!(segment.place, Place::Memory(_)));
            let oldest = in_memory.next().map(|(index, _)| index);
            let Some(oldest) = oldest.filter(|_| in_memory.count() >= MEMORY_TAIL) else { return };
            self.segments.remove(oldest);
        }
    }
}

impl Cursor {
    /// Returns how far it is, to be compared with an end.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Goes to where this much had been printed; returns what was missed on the way.
    fn skip_to(&mut self, printed: [u64; 2]) -> Vec<Piece> {
        let missed = Stream::BOTH.into_iter().zip(printed).zip(self.passed);
        let missed = missed
            .filter(|((_, printed), passed)| printed > passed)
            .map(|((stream, printed), passed)| Piece::Omitted(stream, printed - passed))
            .collect();
        self.passed = printed;
        missed
    }

    fn advance(&mut self, block: &Bytes) -> Vec<Piece> {
        let (records, length) = record::decode(block);
        self.position += length as u64;
        for (stream, payload) in &records {
            if let Some(passed) = self.passed.get_mut(index(*stream)) {
                *passed += payload.len() as u64;
            }
        }
        records.into_iter().map(|(stream, payload)| Piece::Printed(stream, payload)).collect()
    }
}

const fn index(stream: Stream) -> usize {
    match stream {
        Stream::Output => 0,
        Stream::Errors => 1,
    }
}

#[cfg(test)]
mod tests;
