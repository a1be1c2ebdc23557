//! A process that does one job: JSON on standard input, lines of JSON on standard output.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use daytona_wire::toolbox::repository::{
    GitAddRemoteRequest, GitAddRequest, GitAuthenticateRequest, GitBranchRequest, GitCheckoutRequest,
    GitCloneRequest, GitCommitRequest, GitConfigureUserRequest, GitDeleteBranchRequest, GitGetConfigRequest,
    GitInitRequest, GitPullRequest, GitPushRequest, GitResetRequest, GitRestoreRequest, GitSetConfigRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clone::Made;
use crate::error::{Code, GitError};
use crate::network::Network;
use crate::{
    branch, checkout, clone, commit, publish, pull, remote, repository, reset, setting, stage, status, store,
};

/// What one process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// Those of [`crate::network::VARIABLES`] that are set.
    pub variables: BTreeMap<String, String>,
    /// The operation; its paths are absolute.
    pub operation: Operation,
}

/// The operations.
#[derive(Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each is named for the request that it carries, or for the path that it reads"
)]
pub enum Operation {
    Add(GitAddRequest),
    AddRemote(GitAddRemoteRequest),
    Authenticate(GitAuthenticateRequest),
    Branches(String),
    Checkout(GitCheckoutRequest),
    Clone(GitCloneRequest),
    Commit(GitCommitRequest),
    ConfigureUser(GitConfigureUserRequest),
    CreateBranch(GitBranchRequest),
    DeleteBranch(GitDeleteBranchRequest),
    /// Takes away what a clone made that did not live to do it itself.
    Discard(Made),
    GetConfig(GitGetConfigRequest),
    History(String),
    Init(GitInitRequest),
    Pull(GitPullRequest),
    Push(GitPushRequest),
    Remotes(String),
    Reset(GitResetRequest),
    Restore(GitRestoreRequest),
    SetConfig(GitSetConfigRequest),
    Status(String),
}

/// A line of the answer. The last one is an answer or a failure.
#[derive(Debug, Serialize, Deserialize)]
pub enum Line {
    /// What will be made, before it is.
    Making(Made),
    /// The operation's answer; null where it has none.
    Answer(Value),
    /// Why there is none.
    Failure {
        /// The word of the contract.
        code: Code,
        /// The sentence.
        message: String,
    },
}

/// Does the job that standard input describes.
pub fn run() -> ExitCode {
    // Its memory may hold a password, which other processes of the user have no business with.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let mut text = Vec::new();
    if io::stdin().lock().read_to_end(&mut text).is_err() {
        return ExitCode::FAILURE;
    }
    let mut output = io::stdout().lock();
    let line = match serde_json::from_slice::<Job>(&text) {
        Ok(job) => answer(&job, &mut output),
        Err(error) => Line::Failure {
            code: Code::InternalServerError,
            message: format!("the job cannot be read: {error}"),
        },
    };
    match print(&mut output, &line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn print(output: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")?;
    output.flush()
}

fn answer(job: &Job, output: &mut impl Write) -> Line {
    let network = Network::new(&job.variables);
    let mut announce = |made: &Made| {
        // Whoever listens is gone; then nobody asks what was made either, and the clone is killed.
        let _ = print(output, &Line::Making(made.clone()));
    };
    match perform(&network, &job.operation, &mut announce) {
        Ok(value) => Line::Answer(value),
        Err(error) => {
            Line::Failure { code: error.code(), message: redacted(error.message(), &job.operation) }
        }
    }
}

fn perform(
    network: &Network,
    operation: &Operation,
    announce: &mut dyn FnMut(&Made),
) -> Result<Value, GitError> {
    let nothing = |()| Value::Null;
    let home = network.home();
    match operation {
        Operation::Add(request) => stage::add(request).map(nothing),
        Operation::AddRemote(request) => remote::add(network, request).map(nothing),
        Operation::Authenticate(request) => store::keep(&home, request).map(nothing),
        Operation::Branches(path) => branch::list(path).and_then(json),
        Operation::Checkout(request) => checkout::checkout(request).map(nothing),
        Operation::Clone(request) => clone::clone(network, request, announce).map(nothing),
        Operation::Commit(request) => commit::commit(request).and_then(json),
        Operation::ConfigureUser(request) => setting::set_user(&home, request).map(nothing),
        Operation::CreateBranch(request) => branch::create(request).map(nothing),
        Operation::DeleteBranch(request) => branch::delete(request).map(nothing),
        Operation::Discard(made) => made.discard().map(nothing).map_err(|source| GitError::File {
            action: "take away",
            path: made.path.to_string_lossy().into_owned(),
            source,
        }),
        Operation::GetConfig(request) => setting::get(&home, request).and_then(json),
        Operation::History(path) => commit::history(path).and_then(json),
        Operation::Init(request) => repository::init(request).map(nothing),
        Operation::Pull(request) => pull::pull(network, request).map(nothing),
        Operation::Push(request) => publish::push(network, request).map(nothing),
        Operation::Remotes(path) => remote::list(path).and_then(json),
        Operation::Reset(request) => reset::reset(request).map(nothing),
        Operation::Restore(request) => stage::restore(request).map(nothing),
        Operation::SetConfig(request) => setting::set(&home, request).map(nothing),
        Operation::Status(path) => status::status(path).and_then(json),
    }
}

fn json(value: impl Serialize) -> Result<Value, GitError> {
    serde_json::to_value(value)
        .map_err(|error| GitError::Conflict { reason: format!("the answer is no JSON: {error}") })
}

/// Takes the password out of a message, which may repeat the words of a server that got it.
fn redacted(message: String, operation: &Operation) -> String {
    let password = match operation {
        Operation::Authenticate(request) => Some(&request.password),
        Operation::Clone(request) => request.password.as_ref(),
        Operation::Pull(request) => request.password.as_ref(),
        Operation::Push(request) => request.password.as_ref(),
        _ => None,
    };
    match password.map(|password| password.0.as_str()).filter(|password| !password.is_empty()) {
        Some(password) => message.replace(password, "***"),
        None => message,
    }
}
