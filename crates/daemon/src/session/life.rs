//! One session from its beginning to its end.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::error::DaemonError;
use crate::session::allowance::Grant;
use crate::session::command::Command;
use crate::session::roster::Roster;
use crate::session::shell::{Ground, Over, Shell};
use crate::session::stock::Stock;

/// How many commands may wait in one session.
const WAITING: usize = 100;

/// A session.
#[derive(Debug)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// Its commands.
    pub roster: Roster,
    queue: mpsc::Sender<Job>,
    /// The shell's exit code, once it has ended by itself.
    ended: watch::Sender<Option<i32>>,
    is_asked: watch::Sender<bool>,
    is_gone: watch::Sender<bool>,
}

/// A command that waits for its turn.
#[derive(Debug)]
pub struct Job {
    /// The command.
    pub command: Arc<Command>,
    /// Its whole text.
    pub text: String,
    /// A name that nobody can have guessed.
    pub token: String,
    /// The memory that the text takes.
    pub grant: Grant,
}

impl Session {
    /// Starts to serve a session with this shell.
    pub fn start(id: String, shell: Shell, stock: &Arc<Stock>) -> Arc<Self> {
        let (queue, jobs) = mpsc::channel(WAITING);
        let (ended, is_asked, is_gone) =
            (watch::Sender::new(None), watch::Sender::new(false), watch::Sender::new(false));
        let session = Arc::new(Self { id, roster: Roster::default(), queue, ended, is_asked, is_gone });
        tokio::spawn(Arc::clone(&session).live(shell, jobs, Arc::clone(stock)));
        session
    }

    /// Hands over a command.
    pub fn submit(&self, job: Job) -> Result<(), DaemonError> {
        self.check()?;
        let command = Arc::clone(&job.command);
        self.queue.try_send(job).map_err(|_| self.is_busy())?;
        self.roster.add(command);
        Ok(())
    }

    /// The failure that tells that too much waits here.
    pub fn is_busy(&self) -> DaemonError {
        DaemonError::SessionBusy { session_id: self.id.clone(), limit: WAITING }
    }

    /// Returns the failure that tells of the shell's end, if it has ended.
    pub fn check(&self) -> Result<(), DaemonError> {
        if *self.is_asked.borrow() {
            return Err(DaemonError::NoSuchSession { session_id: self.id.clone() });
        }
        match *self.ended.borrow() {
            Some(exit_code) => Err(DaemonError::SessionEnded { session_id: self.id.clone(), exit_code }),
            None => Ok(()),
        }
    }

    /// Ends the session with everything that runs in it; returns when all of it is gone. It is ended also when this is
    /// given up.
    pub async fn end(&self) {
        self.is_asked.send_replace(true);
        // The sender is this session's own.
        let _ = self.is_gone.subscribe().wait_for(|is_gone| *is_gone).await;
    }

    async fn live(self: Arc<Self>, mut shell: Shell, mut jobs: mpsc::Receiver<Job>, stock: Arc<Stock>) {
        let mut ground = Ground {
            stock,
            ended: self.ended.clone(),
            is_asked: self.is_asked.subscribe(),
            is_gone: self.is_gone.subscribe(),
        };
        if let Over::Ended(exit_code) = serve(&mut shell, &mut jobs, &mut ground).await {
            self.ended.send_replace(Some(exit_code));
            refuse(&mut jobs, &mut ground).await;
        }
        shell.end().await;
        jobs.close();
        while let Some(job) = jobs.recv().await {
            job.command.refuse().await;
        }
        self.is_gone.send_replace(true);
        self.roster.clear();
    }
}

/// Runs commands in their order, until the shell ends or is to end.
async fn serve(shell: &mut Shell, jobs: &mut mpsc::Receiver<Job>, ground: &mut Ground) -> Over {
    loop {
        let job = tokio::select! {
            biased;
            _ = ground.is_asked.wait_for(|is_asked| *is_asked) => return Over::Asked,
            exit_code = shell.ended() => return Over::Ended(exit_code),
            job = jobs.recv() => job,
        };
        // The session itself holds the other end.
        let Some(Job { command, text, token, grant }) = job else { return Over::Asked };
        let over = shell.run(&command, text, token, ground).await;
        drop(grant);
        if let Some(over) = over {
            return over;
        }
    }
}

/// Tells everybody who waits that the shell has ended, until the session is to end.
async fn refuse(jobs: &mut mpsc::Receiver<Job>, ground: &mut Ground) {
    loop {
        let job = tokio::select! {
            _ = ground.is_asked.wait_for(|is_asked| *is_asked) => return,
            job = jobs.recv() => job,
        };
        let Some(job) = job else { return };
        job.command.refuse().await;
    }
}
