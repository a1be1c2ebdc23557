//! What a terminal has shown lately, kept once for all who look at it.
//!
//! Every viewer has a position in one ring of output, so a terminal costs the same memory however many look. The shell is
//! held up only while even the fastest viewer is far behind, and then not for long; who is slower than that falls out
//! of the ring and is told so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::DaemonError;
use crate::terminal::sequence::{self, Parser};

/// How much output is kept for those who come later, and so how far one viewer may fall behind another.
pub const RING_BYTES: usize = 256 * 1024;
/// How far the fastest viewer may be behind before the shell waits for it.
const AHEAD_BYTES: u64 = 128 * 1024;
/// How long the shell waits for viewers of whom none takes anything.
const STALL: Duration = Duration::from_secs(2);
/// The most that is sent in one frame.
const PIECE_BYTES: usize = 64 * 1024;
/// How many may look at one terminal.
pub const VIEWERS: usize = 32;
/// Where a line is looked for to begin with, when the beginning is lost.
const LINE_WITHIN_BYTES: usize = 4 * 1024;

/// What a terminal shows.
#[derive(Debug, Default)]
pub struct Feed {
    state: Mutex<State>,
    /// Wakes viewers.
    news: Notify,
    /// Wakes whoever fills the feed.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    ring: VecDeque<u8>,
    /// How many bytes have left the ring.
    lost: u64,
    /// Where in a sequence the ring begins.
    cut: Parser,
    /// How far each viewer is; nothing for one that was given up.
    viewers: BTreeMap<u64, Option<u64>>,
    arrivals: u64,
    ended: Option<i32>,
}

impl State {
    fn end(&self) -> u64 {
        self.lost.saturating_add(self.ring.len() as u64)
    }

    /// Whether the fastest viewer keeps up; without viewers there is nobody to wait for.
    fn has_room(&self) -> bool {
        let mut positions = self.viewers.values().flatten().peekable();
        positions.peek().is_none() || positions.any(|position| self.end() - position <= AHEAD_BYTES)
    }

    /// What a viewer who comes now has missed.
    fn past(&self) -> Vec<u8> {
        let (front, back) = self.ring.as_slices();
        let whole = [front, back].concat();
        if self.lost == 0 {
            return sequence::retell(&whole);
        }
        let mut parser = self.cut.clone();
        let mut state = parser.state();
        let start = safe_start(&mut parser, &whole);
        state.extend(sequence::retell(whole.get(start..).unwrap_or_default()));
        state
    }
}

/// Finds the first place behind a cut that is neither in a sequence nor in a character, preferably where a line begins.
fn safe_start(parser: &mut Parser, bytes: &[u8]) -> usize {
    let mut start = 0;
    while !parser.is_between()
        && let Some(byte) = bytes.get(start)
    {
        parser.pass(std::slice::from_ref(byte));
        start += 1;
    }
    // The rest of a character that was cut (UTF-8).
    start += bytes.iter().skip(start).take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    let mut ahead = parser.clone();
    for (index, byte) in bytes.iter().enumerate().skip(start).take(LINE_WITHIN_BYTES) {
        if *byte == b'\n' && ahead.is_between() {
            return index + 1;
        }
        ahead.pass(std::slice::from_ref(byte));
    }
    start
}

impl Feed {
    /// Adds output; the oldest leaves.
    pub fn push(&self, bytes: &[u8]) {
        {
            let state = &mut *self.lock();
            state.ring.extend(bytes);
            let excess = state.ring.len().saturating_sub(RING_BYTES);
            let (front, back) = state.ring.as_slices();
            state.cut.pass(front.get(..excess).unwrap_or(front));
            state.cut.pass(back.get(..excess.saturating_sub(front.len())).unwrap_or_default());
            state.ring.drain(..excess);
            state.lost += excess as u64;
        }
        self.news.notify_waiters();
    }

    /// Waits until output may be added: for viewers that take some, but not for those that take none.
    pub async fn room(&self) {
        if self.lock().has_room() {
            return;
        }
        let waiting = async {
            loop {
                let changed = self.room.notified();
                if self.lock().has_room() {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(STALL, waiting).await.is_err() {
            for position in self.lock().viewers.values_mut() {
                *position = None;
            }
            self.news.notify_waiters();
        }
    }

    /// Says that nothing more comes, and why.
    pub fn end(&self, exit_code: i32) {
        self.lock().ended = Some(exit_code);
        self.news.notify_waiters();
        self.room.notify_waiters();
    }

    /// Waits for the end.
    pub async fn ended(&self) -> i32 {
        loop {
            let changed = self.news.notified();
            if let Some(exit_code) = self.lock().ended {
                return exit_code;
            }
            changed.await;
        }
    }

    /// Lets one more look.
    pub fn view(self: &Arc<Self>) -> Result<Viewer, DaemonError> {
        let mut state = self.lock();
        if state.viewers.len() >= VIEWERS {
            return Err(DaemonError::TooManyViewers { limit: VIEWERS });
        }
        // For the first it is no repetition: its terminal is the one that is asked.
        let (position, past) = if state.arrivals == 0 && state.lost == 0 {
            (0, Vec::new())
        } else {
            (state.end(), state.past())
        };
        state.arrivals += 1;
        let number = state.arrivals;
        state.viewers.insert(number, Some(position));
        Ok(Viewer { feed: Arc::clone(self), number, past: Bytes::from(past) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who looks at a terminal.
#[derive(Debug)]
pub struct Viewer {
    feed: Arc<Feed>,
    number: u64,
    past: Bytes,
}

/// What a viewer gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Output.
    Output(Bytes),
    /// Nothing any more: it took too long.
    TooSlow,
    /// The shell has ended with this exit code, and all was told.
    Ended(i32),
}

impl Viewer {
    /// Waits for what comes next; may be given up and called again.
    pub async fn next(&mut self) -> News {
        if !self.past.is_empty() {
            let length = self.past.len().min(PIECE_BYTES);
            return News::Output(self.past.split_to(length));
        }
        loop {
            let feed = &*self.feed;
            let changed = feed.news.notified();
            let news = take(&mut feed.lock(), self.number);
            if let Some(news) = news {
                feed.room.notify_waiters();
                return news;
            }
            changed.await;
        }
    }
}

fn take(state: &mut State, number: u64) -> Option<News> {
    let position = state.viewers.get(&number).copied().flatten();
    let Some(position) = position.filter(|position| *position >= state.lost) else {
        return Some(News::TooSlow);
    };
    let offset = usize::try_from(position - state.lost).unwrap_or(usize::MAX);
    let length = state.ring.len().saturating_sub(offset).min(PIECE_BYTES);
    if length == 0 {
        return state.ended.map(News::Ended);
    }
    let piece = copy(&state.ring, offset, length);
    state.viewers.insert(number, Some(position + length as u64));
    Some(News::Output(piece.into()))
}

fn copy(ring: &VecDeque<u8>, offset: usize, length: usize) -> Vec<u8> {
    let (front, back) = ring.as_slices();
    let in_front = front.get(offset..).unwrap_or_default();
    let mut piece = in_front.get(..length).unwrap_or(in_front).to_vec();
    let in_back = back.get(offset.saturating_sub(front.len())..).unwrap_or_default();
    piece.extend_from_slice(in_back.get(..length - piece.len()).unwrap_or(in_back));
    piece
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.feed.lock().viewers.remove(&self.number);
        self.feed.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
