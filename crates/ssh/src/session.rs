//! A session channel (RFC 4254 §6): what is asked for before a program starts, and the program's whole life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use linux::terminal::Window;
use rustix::process::{Signal, WaitStatus};
use tokio::signal::unix::{SignalKind, signal};

use crate::channel::{Channel, Flow};
use crate::descriptor::Descriptor;
use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;
use crate::host::Host;
use crate::message;
use crate::program::{self, Command, Control, Started, TerminalRequest};

/// How many variables a client may set, and how long all of them may be.
const VARIABLES: usize = 128;
const VARIABLE_BYTES: usize = 64 * 1024;
/// How long a terminal's name and its modes may be.
const NAME_BYTES: usize = 128;
const MODES_BYTES: usize = 1024;
const READ_BYTES: usize = 32 * 1024;
/// How long what a program left in the background may be silent before its output is given up.
const SILENCE: Duration = Duration::from_secs(1);
/// How a shell reports a command that it could not run.
const NOT_STARTED: u32 = 126;

/// What a client has asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Session {
    variables: BTreeMap<String, String>,
    variable_bytes: usize,
    terminal: Option<TerminalRequest>,
    control: Option<Arc<Control>>,
}

impl Session {
    /// Handles one request; returns whether it is granted. `reader` stands behind the request's name.
    pub(crate) fn request(
        &mut self,
        kind: &[u8],
        reader: Reader<'_>,
        host: &Host,
        channel: &Channel,
    ) -> Result<bool, SshError> {
        let mut reader = reader;
        match kind {
            b"env" if self.control.is_none() => {
                let (name, value) = (reader.text()?, reader.text()?);
                Ok(self.set(name, value))
            }
            b"pty-req" if self.control.is_none() => self.want_terminal(reader),
            b"shell" => Ok(self.start(host, channel, &Command::Shell)),
            b"exec" => Ok(self.start(host, channel, &Command::Line(reader.string()?.to_vec()))),
            b"subsystem" if reader.string()? == b"sftp" => {
                // The protocol is binary: a terminal would change it.
                self.terminal = None;
                Ok(self.start(host, channel, &Command::Files))
            }
            b"window-change" => {
                let window = window(&mut reader)?;
                if let Some(control) = &self.control {
                    control.resize(window);
                }
                Ok(self.control.is_some())
            }
            b"signal" => {
                let signal = named(reader.string()?);
                if let (Some(control), Some(signal)) = (&self.control, signal) {
                    control.signal(signal);
                }
                Ok(self.control.is_some() && signal.is_some())
            }
            // Among them agents and X11, which nobody forwards here.
            _ => Ok(false),
        }
    }

    /// Tells the program that its client has gone.
    pub(crate) fn hang_up(&self) {
        if let Some(control) = &self.control {
            control.hang_up();
        }
    }

    fn set(&mut self, name: &str, value: &str) -> bool {
        let mut characters = name.chars();
        let is_name = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && characters.all(|character| character.is_ascii_alphanumeric() || character == '_');
        let bytes = self.variable_bytes + name.len() + value.len();
        let fits = self.variables.len() < VARIABLES && bytes <= VARIABLE_BYTES;
        let is_granted = is_name && fits && !value.contains('\0');
        if is_granted {
            self.variable_bytes = bytes;
            self.variables.insert(name.to_owned(), value.to_owned());
        }
        is_granted
    }

    fn want_terminal(&mut self, mut reader: Reader<'_>) -> Result<bool, SshError> {
        let name = reader.text()?;
        let window = window(&mut reader)?;
        let modes = reader.string()?;
        if name.len() > NAME_BYTES || name.contains('\0') || modes.len() > MODES_BYTES {
            return Ok(false);
        }
        self.terminal = Some(TerminalRequest { name: name.to_owned(), window, modes: modes.to_vec() });
        Ok(true)
    }

    fn start(&mut self, host: &Host, channel: &Channel, command: &Command) -> bool {
        if self.control.is_some() {
            return false;
        }
        let started = program::start(host, command, &self.variables, self.terminal.as_ref());
        let channel = channel.clone();
        match started {
            Ok(started) => {
                self.control = Some(Arc::clone(&started.control));
                tokio::spawn(live(started, channel));
            }
            // The client hears why, as it would from a shell.
            Err(error) => drop(tokio::spawn(apologize(linux::errno::chain(&error), channel))),
        }
        true
    }
}

/// Reads a window's size: characters, and picture elements, which nobody uses.
fn window(reader: &mut Reader<'_>) -> Result<Window, SshError> {
    let (columns, rows) = (reader.number()?, reader.number()?);
    let _picture = (reader.number()?, reader.number()?);
    let bounded = |number| u16::try_from(number).unwrap_or(u16::MAX);
    Ok(Window { columns: bounded(columns), rows: bounded(rows) })
}

async fn apologize(reason: String, channel: Channel) {
    let _ = channel.send(Flow::Error, format!("{reason}\r\n").as_bytes()).await;
    let _ = channel.send_message(exit_status(&channel, NOT_STARTED)).await;
    channel.send_close().await;
}

/// What both outputs of a program have done, for telling silence from a slow client.
#[derive(Debug, Default)]
struct Progress {
    pieces: AtomicU64,
    is_output_sending: AtomicBool,
    is_error_sending: AtomicBool,
}

impl Progress {
    fn is_sending(&self) -> bool {
        self.is_output_sending.load(Ordering::Relaxed) || self.is_error_sending.load(Ordering::Relaxed)
    }
}

/// Carries a program's streams until it ends or its client goes.
async fn live(started: Started, channel: Channel) {
    let control = Arc::clone(&started.control);
    if let Some(status) = carry(started, &channel).await {
        let _ = channel.send_end().await;
        if let Some(message) = status.and_then(|status| farewell(&channel, status)) {
            let _ = channel.send_message(message).await;
        }
        channel.send_close().await;
    } else {
        control.hang_up();
        // Somebody has to take its status.
        ended(&control).await;
    }
}

/// Returns how the program ended, or `None` when its client went first. Our ends of its streams are closed then.
async fn carry(started: Started, channel: &Channel) -> Option<Option<WaitStatus>> {
    let Started { control, input, output, error } = started;
    let progress = Progress::default();
    let errors = async {
        if let Some(error) = &error {
            pump_out(error, channel, Flow::Error, &progress).await;
        }
    };
    let outputs = async {
        tokio::join!(pump_out(&output, channel, Flow::Output, &progress), errors);
    };
    let mut outputs = std::pin::pin!(outputs);
    let mut inputs = std::pin::pin!(pump_in(input, channel));
    let (mut are_outputs_over, mut are_inputs_over) = (false, false);
    let status = loop {
        tokio::select! {
            status = ended(&control) => break status,
            () = &mut outputs, if !are_outputs_over => are_outputs_over = true,
            () = &mut inputs, if !are_inputs_over => are_inputs_over = true,
            () = channel.closed() => return None,
        }
    };
    if !are_outputs_over {
        tokio::select! {
            () = outputs => {}
            () = silence(&progress) => {}
            () = channel.closed() => {}
        }
    }
    Some(status)
}

/// Waits for the end of a program; `None` when its status is lost.
async fn ended(control: &Control) -> Option<WaitStatus> {
    let mut child_ended = signal(SignalKind::child()).ok()?;
    loop {
        if let Some(status) = control.collect() {
            return Some(status);
        }
        child_ended.recv().await?;
    }
}

/// Waits until what was left in the background has said nothing for a while.
async fn silence(progress: &Progress) {
    let mut before = progress.pieces.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(SILENCE).await;
        let now = progress.pieces.load(Ordering::Relaxed);
        if now == before && !progress.is_sending() {
            return;
        }
        before = now;
    }
}

async fn pump_out(from: &Descriptor, channel: &Channel, flow: Flow, progress: &Progress) {
    let is_sending =
        if flow == Flow::Output { &progress.is_output_sending } else { &progress.is_error_sending };
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(bytes) = from.read(&mut buffer).await {
        if bytes == 0 {
            return;
        }
        progress.pieces.fetch_add(1, Ordering::Relaxed);
        is_sending.store(true, Ordering::Relaxed);
        let sent = channel.send(flow, buffer.get(..bytes).unwrap_or_default()).await;
        is_sending.store(false, Ordering::Relaxed);
        if sent.is_err() {
            return;
        }
    }
}

/// A terminal has no end of its own: when the client sends no more, what is shown still counts.
async fn pump_in(to: Arc<Descriptor>, channel: &Channel) {
    let mut to = Some(to);
    let mut data = Vec::new();
    while channel.receive(&mut data).await {
        let mut rest = data.as_slice();
        while let (Some(descriptor), false) = (&to, rest.is_empty()) {
            match descriptor.write(rest).await {
                Ok(bytes) => {
                    rest = rest.get(bytes..).unwrap_or_default();
                    channel.consumed(bytes).await;
                }
                // Nobody reads any more; what still comes is thrown away, so that the client can go on.
                Err(_) => to = None,
            }
        }
        channel.consumed(rest.len()).await;
    }
}

fn exit_status(channel: &Channel, status: u32) -> Vec<u8> {
    let message = Vec::new().byte(message::CHANNEL_REQUEST).number(channel.peer);
    message.string(b"exit-status").byte(0).number(status)
}

fn farewell(channel: &Channel, status: WaitStatus) -> Option<Vec<u8>> {
    if let Some(code) = status.exit_status() {
        return Some(exit_status(channel, u32::try_from(code).unwrap_or(u32::MAX)));
    }
    let number = status.terminating_signal()?;
    let Some((name, _)) = SIGNALS.iter().find(|(_, signal)| signal.as_raw() == number) else {
        // The protocol has no word for the others; shells have this number.
        return Some(exit_status(channel, 128 + u32::try_from(number).unwrap_or(0)));
    };
    let message = Vec::new().byte(message::CHANNEL_REQUEST).number(channel.peer);
    Some(message.string(b"exit-signal").byte(0).string(name.as_bytes()).byte(0).string(&[]).string(&[]))
}

/// The signals that the protocol knows (RFC 4254 §6.10).
const SIGNALS: [(&str, Signal); 13] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("TERM", Signal::TERM),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
];

fn named(name: &[u8]) -> Option<Signal> {
    SIGNALS.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, signal)| *signal)
}
