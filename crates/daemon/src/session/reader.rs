//! Reads a command's log in the forms in which it is answered.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::output::Decoder;
use crate::session::command::{Command, Stage};
use crate::session::log::{Cursor, Piece};
use crate::session::mark::{Marker, Stream};

/// What of a log is read, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Both streams, with marks.
    Marked,
    /// Both streams, without.
    Plain,
    /// One stream.
    Only(Stream),
}

/// Reads what a log holds at one moment.
#[derive(Debug)]
pub struct Reader {
    command: Arc<Command>,
    cursor: Cursor,
    end: u64,
    is_over: bool,
    view: View,
    marker: Marker,
    decoders: [Decoder; 2],
}

impl Reader {
    /// Reads up to `end`, which the log tells.
    pub fn new(command: Arc<Command>, view: View, end: u64) -> Self {
        Self {
            command,
            cursor: Cursor::default(),
            end,
            is_over: false,
            view,
            marker: Marker::of_lines(),
            decoders: [Decoder::default(), Decoder::default()],
        }
    }

    /// Returns the next bytes as they were printed; `None` at the end.
    pub async fn bytes(&mut self) -> Option<Bytes> {
        let pieces = self.pieces().await?;
        let mut bytes = Vec::new();
        for (stream, payload) in pieces {
            self.write(stream, &payload, &mut bytes);
        }
        Some(bytes.into())
    }

    /// Returns the next text; what is not UTF-8 becomes the replacement character. `None` at the end.
    pub async fn text(&mut self) -> Option<String> {
        let pieces = self.pieces().await;
        let mut bytes = Vec::new();
        if let Some(pieces) = pieces {
            for (stream, payload) in pieces {
                let text = self.decoder(stream).decode(&payload);
                self.write(stream, text.as_bytes(), &mut bytes);
            }
        } else {
            // A character may have been cut off at the very end.
            for stream in Stream::BOTH {
                let text = self.decoder(stream).finish();
                self.write(stream, text.unwrap_or_default().as_bytes(), &mut bytes);
            }
            if bytes.is_empty() {
                return None;
            }
        }
        // Marks stand between characters, never inside one.
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn pieces(&mut self) -> Option<Vec<(Stream, Bytes)>> {
        if self.is_over {
            return None;
        }
        let pieces = self.command.log.read(&mut self.cursor).await;
        self.is_over = pieces.is_empty() || self.cursor.position() >= self.end;
        (!pieces.is_empty()).then(|| pieces.into_iter().map(shown).collect())
    }

    fn write(&mut self, stream: Stream, payload: &[u8], into: &mut Vec<u8>) {
        match self.view {
            View::Marked => self.marker.write(stream, payload, false, into),
            View::Plain => into.extend_from_slice(payload),
            View::Only(wanted) if wanted == stream => into.extend_from_slice(payload),
            View::Only(_) => {}
        }
    }

    const fn decoder(&mut self, stream: Stream) -> &mut Decoder {
        let [output, errors] = &mut self.decoders;
        match stream {
            Stream::Output => output,
            Stream::Errors => errors,
        }
    }
}

/// Follows a command to its end.
#[derive(Debug)]
pub struct Follower {
    command: Arc<Command>,
    cursor: Cursor,
    marker: Marker,
    changed: watch::Receiver<()>,
    stage: watch::Receiver<Stage>,
    /// Where the log ended when the command did; what it left behind may print for ever.
    end: Option<u64>,
}

impl Follower {
    /// Begins at the beginning.
    pub fn new(command: Arc<Command>) -> Self {
        let (changed, stage) = (command.log.watch(), command.watch());
        Self { command, cursor: Cursor::default(), marker: Marker::of_frames(), changed, stage, end: None }
    }

    /// Waits for the next frame: marks and what they belong to, together. `None` when the command has ended. May be given
    /// up and called again.
    pub async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if self.end.is_none() && self.command.exit_code().is_some() {
                self.end = Some(self.command.log.end());
            }
            if self.end.is_some_and(|end| end > 0 && self.cursor.position() >= end) {
                return None;
            }
            let pieces = self.command.log.read(&mut self.cursor).await;
            if !pieces.is_empty() {
                let mut frame = Vec::new();
                for (stream, payload) in pieces.into_iter().map(shown) {
                    let is_frame = frame.is_empty();
                    self.marker.write(stream, &payload, is_frame, &mut frame);
                }
                return Some(frame.into());
            }
            if self.end.is_some() {
                return None;
            }
            tokio::select! {
                _ = self.changed.changed() => {}
                _ = self.stage.changed() => {}
            }
        }
    }
}

fn shown(piece: Piece) -> (Stream, Bytes) {
    match piece {
        Piece::Printed(stream, bytes) => (stream, bytes),
        Piece::Omitted(stream, bytes) => {
            let text = format!("\n[{bytes} bytes omitted: a log keeps about the first and the last 8 MiB]\n");
            (stream, text.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Arc<Command> {
        Arc::new(Command::new("1".into(), "", false, false, &Arc::default()))
    }

    async fn read(command: &Arc<Command>, view: View) -> String {
        let mut reader = Reader::new(Arc::clone(command), view, command.log.end());
        let mut whole = String::new();
        while let Some(text) = reader.text().await {
            whole += &text;
        }
        whole
    }

    #[tokio::test]
    async fn a_character_in_two_parts_is_one_and_half_of_one_is_none() {
        let command = command();
        for (stream, bytes) in [
            (Stream::Output, &b"a\xe2\x82"[..]),
            (Stream::Errors, b"oh\n"),
            (Stream::Output, b"\xacb\n\xff"),
            (Stream::Errors, b"\xc3"),
        ] {
            command.log.append(stream, bytes).await;
        }
        assert_eq!(read(&command, View::Only(Stream::Output)).await, "a€b\n\u{fffd}");
        assert_eq!(read(&command, View::Only(Stream::Errors)).await, "oh\n\u{fffd}");
        assert_eq!(read(&command, View::Plain).await, "aoh\n€b\n\u{fffd}\u{fffd}");
        assert_eq!(
            read(&command, View::Marked).await,
            "\u{1}\u{1}\u{1}a\u{2}\u{2}\u{2}oh\n\u{1}\u{1}\u{1}€b\n\u{1}\u{1}\u{1}\u{fffd}\u{2}\u{2}\u{2}\u{fffd}"
        );
    }

    #[tokio::test]
    async fn a_follower_sees_all_of_it_and_ends_with_the_command() {
        let command = command();
        let mut follower = Follower::new(Arc::clone(&command));
        let follow = tokio::spawn(async move {
            let mut frames = Vec::new();
            while let Some(frame) = follower.frame().await {
                frames.push(frame);
            }
            frames
        });
        for _ in 0..3 {
            command.log.append(Stream::Output, b"x").await;
            tokio::task::yield_now().await;
        }
        command.end(0).await;
        let frames = follow.await.expect("joined");
        assert!(frames.iter().all(|frame| frame.starts_with(b"\x01\x01\x01x")), "{frames:?}");
        let text = String::from_utf8(frames.concat()).expect("text");
        assert_eq!(text.matches('x').count(), 3);
    }
}
