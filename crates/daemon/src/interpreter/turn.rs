//! One call in one process, from the order to the answer, or to whatever came instead.

use std::time::Duration;

use daytona_wire::toolbox::interpreter::{InterpreterControl, InterpreterFrame};
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use crate::interpreter::message::{Answer, Call, End, Event, Order};
use crate::interpreter::worker::{Stream, Worker};

/// How long an interrupted call has before those that it started in its process group are interrupted as well, and then
/// again before everything is killed.
const INTERRUPT_STEP: Duration = Duration::from_secs(1);
/// How long Python may take to start.
const START_WITHIN: Duration = Duration::from_mins(1);
/// How long a client that takes nothing is waited for when a call with a limit is over.
const DELIVER_WITHIN: Duration = Duration::from_secs(10);

/// How a turn ended.
#[derive(Debug)]
pub enum Outcome {
    /// The process answered and can take the next call.
    Answered(Answer),
    /// The process ended.
    Ended {
        /// The exit code; 128 + n for signal n.
        exit_code: i32,
    },
    /// The process went on without its end of the control socket, or wrote nonsense into it without end.
    Unreachable,
    /// It did not heed an interrupt.
    Stubborn,
    /// It did not get as far as running anything.
    Unstarted,
}

/// A call that is running.
#[derive(Debug)]
pub struct Turn<'a> {
    worker: &'a mut Worker,
    call: &'a Call,
    number: u64,
    order: Vec<u8>,
    /// Read from the process, not yet taken by the client. Nothing more is read meanwhile, so a slow client slows the
    /// process down.
    held: Option<InterpreterFrame>,
    start_until: Instant,
    /// Known once the process has started.
    deadline: Option<Instant>,
    stage: Stage,
    /// Whether the deadline has passed.
    pub is_late: bool,
}

/// How far an interrupt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Interrupted(Instant),
    GroupInterrupted(Instant),
    Unreachable(Instant),
}

/// What a turn waits for.
enum Happened {
    Abandoned,
    Alarm,
    Answer,
    Exit(i32),
    Room,
    Stdout,
    Stderr,
    Taken,
}

impl<'a> Turn<'a> {
    /// Prepares a turn; its time begins now, or when the process has started.
    pub fn new(worker: &'a mut Worker, call: &'a Call, number: u64) -> Self {
        let order = Order { number, code: &call.code, variables: &call.variables };
        // Strings and numbers always become JSON; were there none, the process would be found out by the deadline.
        let mut order = serde_json::to_vec(&order).unwrap_or_default();
        order.push(b'\n');
        let mut turn = Self {
            worker,
            call,
            number,
            order,
            held: None,
            start_until: Instant::now() + START_WITHIN,
            deadline: None,
            stage: Stage::Running,
            is_late: false,
        };
        turn.set_deadline();
        turn
    }

    /// Starts the clock when the process has been heard of.
    fn set_deadline(&mut self) {
        if self.worker.control.is_ready && self.deadline.is_none() {
            self.deadline = self.call.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        }
    }

    /// Runs the call to its end, passing on what it prints.
    pub async fn run(&mut self) -> Outcome {
        loop {
            match self.wait().await {
                Happened::Abandoned => self.interrupt(),
                Happened::Taken => {}
                Happened::Alarm => {
                    if let Some(outcome) = self.ring() {
                        return outcome;
                    }
                }
                Happened::Answer => {
                    if let Some(answer) = self.worker.control.read(self.number) {
                        return Outcome::Answered(answer);
                    }
                    self.set_deadline();
                    self.notice_closed_control();
                }
                Happened::Exit(exit_code) => {
                    return match self.worker.control.read_last(self.number) {
                        Some(answer) => Outcome::Answered(answer),
                        None => Outcome::Ended { exit_code },
                    };
                }
                Happened::Room => {
                    let count = self.worker.control.write(&self.order);
                    self.order.drain(..count);
                    self.notice_closed_control();
                }
                Happened::Stdout => self.held = stdout(self.worker.stdout.read()),
                Happened::Stderr => self.held = stderr(self.worker.stderr.read()),
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        let is_wanted = !self.call.events.is_closed();
        if !is_wanted {
            self.held = None;
        }
        let may_read = self.held.is_none();
        let alarm = match self.stage {
            Stage::Running if !self.worker.control.is_ready => Some(self.start_until),
            Stage::Running => self.deadline,
            Stage::Interrupted(until) | Stage::GroupInterrupted(until) | Stage::Unreachable(until) => {
                Some(until)
            }
        };
        let Worker { child, control, stdout, stderr } = &mut *self.worker;
        tokio::select! {
            () = self.call.events.closed(), if self.stage == Stage::Running => Happened::Abandoned,
            () = moment(alarm) => Happened::Alarm,
            () = control.ready(), if control.is_open => Happened::Answer,
            exit_code = child.wait() => Happened::Exit(exit_code),
            () = control.writable(), if control.is_open && !self.order.is_empty() => Happened::Room,
            () = stdout.ready(), if may_read && stdout.is_open => Happened::Stdout,
            () = stderr.ready(), if may_read && stderr.is_open => Happened::Stderr,
            permit = self.call.events.reserve(), if is_wanted && !may_read => {
                if let (Ok(permit), Some(frame)) = (permit, self.held.take()) {
                    permit.send(Event::Frame(frame));
                }
                Happened::Taken
            }
        }
    }

    fn interrupt(&mut self) {
        self.worker.child.signal(Signal::INT);
        self.stage = Stage::Interrupted(Instant::now() + INTERRUPT_STEP);
    }

    /// Takes the next step after the time for the last one has passed.
    fn ring(&mut self) -> Option<Outcome> {
        match self.stage {
            Stage::Running if !self.worker.control.is_ready => return Some(Outcome::Unstarted),
            Stage::Running => {
                self.is_late = true;
                self.interrupt();
            }
            Stage::Interrupted(_) => {
                // It may wait for a child, as os.system does, and not hear anything before that has ended.
                self.worker.child.signal_group(Signal::INT);
                self.stage = Stage::GroupInterrupted(Instant::now() + INTERRUPT_STEP);
            }
            Stage::GroupInterrupted(_) => return Some(Outcome::Stubborn),
            Stage::Unreachable(_) => return Some(Outcome::Unreachable),
        }
        None
    }

    /// Gives a process that closed its end of the socket the time to end: usually that is what it is doing.
    fn notice_closed_control(&mut self) {
        if !self.worker.control.is_open && !matches!(self.stage, Stage::Unreachable(_)) {
            self.stage = Stage::Unreachable(Instant::now() + INTERRUPT_STEP);
        }
    }

    /// Passes on what was printed before the end, and then how it ended.
    pub async fn deliver(&mut self, ending: Vec<InterpreterFrame>) {
        let until = self.deadline.map(|deadline| deadline.max(Instant::now() + DELIVER_WITHIN));
        let call = self.call;
        tokio::select! {
            () = moment(until) => {}
            () = call.events.closed() => {}
            () = self.deliver_all(ending) => {}
        }
    }

    async fn deliver_all(&mut self, ending: Vec<InterpreterFrame>) {
        let events = &self.call.events;
        // One that is closed meanwhile takes nothing, which is as well.
        if let Some(frame) = self.held.take() {
            let _ = events.send(Event::Frame(frame)).await;
        }
        for (stream, frame) in
            [(&mut self.worker.stdout, stdout as Framing), (&mut self.worker.stderr, stderr as Framing)]
        {
            drain(stream, frame, events).await;
        }
        for frame in ending {
            let _ = events.send(Event::Frame(frame)).await;
        }
    }
}

type Framing = fn(String) -> Option<InterpreterFrame>;

/// Passes on what is in a pipe now, and no more: a child in the background may never stop printing.
async fn drain(stream: &mut Stream, frame: Framing, events: &tokio::sync::mpsc::Sender<Event>) {
    let mut left = stream.waiting_bytes();
    while left > 0 {
        let (count, text) = stream.read_waiting(left);
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count);
        if let Some(frame) = frame(text) {
            let _ = events.send(Event::Frame(frame)).await;
        }
    }
    if let Some(frame) = stream.finish().and_then(frame) {
        let _ = events.send(Event::Frame(frame)).await;
    }
}

fn stdout(text: String) -> Option<InterpreterFrame> {
    (!text.is_empty()).then_some(InterpreterFrame::Stdout { text })
}

fn stderr(text: String) -> Option<InterpreterFrame> {
    (!text.is_empty()).then_some(InterpreterFrame::Stderr { text })
}

async fn moment(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Says how an answered call ended.
pub fn ending(answer: Answer) -> Vec<InterpreterFrame> {
    let is_interrupted = answer.error.as_ref().is_some_and(|error| error.is_interrupted);
    let text = if is_interrupted { InterpreterControl::Interrupted } else { InterpreterControl::Completed };
    let error = answer.error.map(InterpreterFrame::from);
    error.into_iter().chain([InterpreterFrame::Control { text }]).collect()
}

/// Says that a call ended with its process.
pub fn death(reason: String) -> Vec<InterpreterFrame> {
    let error = InterpreterFrame::Error {
        name: "InterpreterDied".to_owned(),
        value: reason,
        traceback: String::new(),
    };
    vec![error, InterpreterFrame::Control { text: InterpreterControl::Completed }]
}

/// Returns how the client is told that the call is over.
pub fn end(call: &Call, is_late: bool, keeps_state: bool) -> End {
    match call.timeout {
        Some(timeout) if is_late => End::TimedOut { timeout, keeps_state },
        _ => End::Finished,
    }
}
