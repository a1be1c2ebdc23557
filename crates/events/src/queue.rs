//! What waits for one client, within bounds.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

/// Messages on their way to one client. Putting one in never waits; a client that is too slow loses them all.
#[derive(Debug)]
pub(crate) struct Queue {
    most_messages: usize,
    most_bytes: usize,
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Utf8Bytes>,
    bytes: usize,
    overflowed: bool,
}

impl Queue {
    /// Makes an empty queue.
    pub(crate) fn new(most_messages: usize, most_bytes: usize) -> Self {
        Self { most_messages, most_bytes, waiting: Mutex::default(), news: Notify::new() }
    }

    /// Adds a message. When there is no room, drops everything: a part of what happened would be a wrong story.
    pub(crate) fn push(&self, message: Utf8Bytes) {
        {
            let mut waiting = self.waiting();
            let bytes = waiting.bytes.saturating_add(message.as_str().len());
            if waiting.overflowed {
                return;
            }
            if waiting.messages.len() >= self.most_messages || bytes > self.most_bytes {
                *waiting = Waiting { overflowed: true, ..Waiting::default() };
            } else {
                waiting.messages.push_back(message);
                waiting.bytes = bytes;
            }
        }
        self.news.notify_one();
    }

    /// Waits for the next message; `None` once the client was too slow. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&self) -> Option<Utf8Bytes> {
        loop {
            {
                let mut waiting = self.waiting();
                if waiting.overflowed {
                    return None;
                }
                if let Some(message) = waiting.messages.pop_front() {
                    waiting.bytes = waiting.bytes.saturating_sub(message.as_str().len());
                    return Some(message);
                }
            }
            self.news.notified().await;
        }
    }

    /// Nothing runs under this lock, so a poisoned one still holds sound messages.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_keep_their_order_and_room_comes_back() {
        let queue = Queue::new(2, 100);
        for round in 0..10 {
            queue.push(format!("{round}a").into());
            queue.push(format!("{round}b").into());
            assert_eq!(queue.next().await.expect("first").as_str(), format!("{round}a"));
            assert_eq!(queue.next().await.expect("second").as_str(), format!("{round}b"));
        }
    }

    #[tokio::test]
    async fn too_many_messages_or_bytes_end_it_and_free_what_waits() {
        for queue in [Queue::new(2, 100), Queue::new(100, 7)] {
            for _ in 0..5 {
                queue.push("four".into());
            }
            assert!(queue.waiting().messages.is_empty());
            assert_eq!(queue.next().await, None);
            queue.push("late".into());
            assert_eq!(queue.next().await, None);
        }
    }
}
