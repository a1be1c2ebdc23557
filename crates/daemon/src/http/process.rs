//! Running commands and code to their end.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::process::{CodeRunRequest, CodeRunResponse, ExecuteRequest, ExecuteResponse};

use crate::code::{self, Language};
use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::execution::Outcome;
use crate::file::blocking;
use crate::file::incoming::Incoming;
use crate::http::extract::LaxJson;
use crate::http::result::answer;
use crate::output::Output;
use crate::program::shell_command;

/// Runs a shell command and waits for its end.
#[utoipa::path(post, path = "/process/execute", operation_id = "ExecuteCommand", tag = "process",
    request_body = ExecuteRequest,
    responses((status = 200, body = ExecuteResponse), (status = 400, body = ErrorBody),
        (status = 408, body = ErrorBody)))]
pub async fn execute(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<ExecuteRequest>,
) -> Result<Response, DaemonError> {
    if request.command.trim().is_empty() {
        let reason = "command cannot be empty or whitespace-only; send the command to run".to_owned();
        return Err(DaemonError::Invalid { reason });
    }
    let variables = daemon.environment.with(request.envs.as_ref())?;
    let directory = match request.cwd.as_deref().filter(|cwd| !cwd.is_empty()) {
        Some(cwd) => daemon.origin.resolve("start in", cwd)?.to_string_lossy().into_owned(),
        None => daemon.origin.work_dir.clone(),
    };
    let launch = shell_command(&daemon.shell, &request.command, variables, directory)?;
    let outcome = daemon.executor.run(launch, request.timeout).await?;
    Ok(answer(outcome, None))
}

/// Runs a program text and waits for its end.
#[utoipa::path(post, path = "/process/code-run", operation_id = "CodeRun", tag = "process",
    request_body = CodeRunRequest,
    responses((status = 200, body = CodeRunResponse), (status = 400, body = ErrorBody),
        (status = 408, body = ErrorBody)))]
pub async fn code_run(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<CodeRunRequest>,
) -> Result<Response, DaemonError> {
    let language = Language::from_name(&request.language)?;
    let variables = daemon.environment.with(request.envs.as_ref())?;
    let directory = daemon.origin.work_dir.clone();
    let file = code::source_file(&daemon.token());
    let mut prepared = code::prepare(language, &request, variables, directory, &file)?;
    let launch = match std::mem::replace(&mut prepared.launch, Err(String::new())) {
        Ok(launch) => launch,
        Err(missing) => {
            let mut output = Output::new(daemon.executor.budget.clone());
            output.push(missing.as_bytes());
            // What a shell answers for a command that is not there.
            return Ok(answer(Outcome { exit_code: 127, output, explanation: None }, None));
        }
    };
    let source = SourceFile(file);
    if language == Language::TypeScript {
        let (path, token) = (source.0.clone(), daemon.token());
        blocking(move || {
            let mut incoming = Incoming::create(&path, &token)?;
            incoming.write(request.code.as_bytes())?;
            incoming.finish()
        })
        .await?;
    }
    let outcome = daemon.executor.run(launch, request.timeout).await?;
    Ok(answer(outcome, prepared.into_artifacts()))
}

/// Deletes the source file when the run is over, also when it was given up.
struct SourceFile(std::path::PathBuf);

impl Drop for SourceFile {
    fn drop(&mut self) {
        // Most languages never made one. The name is random, so it cannot be anybody else's file.
        let _ = std::fs::remove_file(&self.0);
    }
}
