//! Git repositories.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::repository::{
    GitAddRemoteRequest, GitAddRequest, GitAuthenticateRequest, GitBranchRequest, GitCheckoutRequest,
    GitCloneRequest, GitCommitInfo, GitCommitRequest, GitCommitResponse, GitConfigResponse,
    GitConfigureUserRequest, GitDeleteBranchRequest, GitGetConfigRequest, GitInitRequest, GitPullRequest,
    GitPushRequest, GitResetRequest, GitRestoreRequest, GitSetConfigRequest, GitStatus, ListBranchResponse,
    ListRemotesResponse,
};
use git::worker::Operation;
use serde_json::Value;
use utoipa::OpenApi;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::extract::{LaxJson, Query};
use crate::repository::perform;

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/git/add", post(add))
        .route("/git/branches", get(list_branches).post(create_branch).delete(delete_branch))
        .route("/git/checkout", post(checkout))
        .route("/git/clone", post(clone))
        .route("/git/commit", post(commit))
        .route("/git/config", get(get_config).post(set_config))
        .route("/git/config/user", post(configure_user))
        .route("/git/credentials", post(authenticate))
        .route("/git/history", get(history))
        .route("/git/init", post(init))
        .route("/git/pull", post(pull))
        .route("/git/push", post(push))
        .route("/git/remotes", get(list_remotes).post(add_remote))
        .route("/git/reset", post(reset))
        .route("/git/restore", post(restore))
        .route("/git/status", get(status))
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(
    add,
    list_branches,
    create_branch,
    delete_branch,
    checkout,
    clone,
    commit,
    get_config,
    set_config,
    configure_user,
    authenticate,
    history,
    init,
    pull,
    push,
    list_remotes,
    add_remote,
    reset,
    restore,
    status,
))]
pub struct Document;

/// Returns the path of a repository as it is below the root.
fn absolute(daemon: &Daemon, path: &str) -> Result<String, DaemonError> {
    Ok(daemon.origin.resolve("use the repository", path)?.to_string_lossy().into_owned())
}

async fn done(daemon: &Daemon, operation: Operation, status: StatusCode) -> Result<Response, DaemonError> {
    perform(daemon, operation).await?;
    Ok(status.into_response())
}

async fn told(daemon: &Daemon, operation: Operation) -> Result<Json<Value>, DaemonError> {
    perform(daemon, operation).await.map(Json)
}

/// Puts files into the index.
#[utoipa::path(post, path = "/git/add", operation_id = "AddFiles", tag = "git",
    request_body = GitAddRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn add(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitAddRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Add(request), StatusCode::OK).await
}

/// Lists the local branches.
#[utoipa::path(get, path = "/git/branches", operation_id = "ListBranches", tag = "git",
    params(("path" = String, Query, description = "The repository")),
    responses((status = 200, body = ListBranchResponse), (status = 404, body = ErrorBody)))]
pub async fn list_branches(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
) -> Result<Json<Value>, DaemonError> {
    let path = absolute(&daemon, query.required("path")?)?;
    told(&daemon, Operation::Branches(path)).await
}

/// Makes a branch and checks it out.
#[utoipa::path(post, path = "/git/branches", operation_id = "CreateBranch", tag = "git",
    request_body = GitBranchRequest,
    responses((status = 201), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn create_branch(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitBranchRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::CreateBranch(request), StatusCode::CREATED).await
}

/// Deletes a branch.
#[utoipa::path(delete, path = "/git/branches", operation_id = "DeleteBranch", tag = "git",
    request_body = GitDeleteBranchRequest,
    responses((status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn delete_branch(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitDeleteBranchRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::DeleteBranch(request), StatusCode::NO_CONTENT).await
}

/// Checks out a branch or a commit.
#[utoipa::path(post, path = "/git/checkout", operation_id = "CheckoutBranch", tag = "git",
    request_body = GitCheckoutRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn checkout(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitCheckoutRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Checkout(request), StatusCode::OK).await
}

/// Clones a repository.
#[utoipa::path(post, path = "/git/clone", operation_id = "CloneRepository", tag = "git",
    request_body = GitCloneRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 502, body = ErrorBody)))]
pub async fn clone(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitCloneRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Clone(request), StatusCode::OK).await
}

/// Commits what the index holds.
#[utoipa::path(post, path = "/git/commit", operation_id = "CommitChanges", tag = "git",
    request_body = GitCommitRequest,
    responses((status = 200, body = GitCommitResponse), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn commit(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitCommitRequest>,
) -> Result<Json<Value>, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    told(&daemon, Operation::Commit(request)).await
}

/// Reads a setting; null when it is not set.
#[utoipa::path(get, path = "/git/config", operation_id = "GetGitConfig", tag = "git",
    params(("key" = String, Query, description = "Such as `user.name`"),
        ("scope" = Option<String>, Query, description = "`global` (the default), `local` or `system`"),
        ("path" = Option<String>, Query, description = "The repository, for the local scope")),
    responses((status = 200, body = GitConfigResponse), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn get_config(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<Json<Value>, DaemonError> {
    let path = query.optional("path").map(|path| absolute(&daemon, path)).transpose()?;
    let (key, scope) = (query.required("key")?.to_owned(), query.optional("scope").map(str::to_owned));
    told(&daemon, Operation::GetConfig(GitGetConfigRequest { key, scope, path })).await
}

/// Writes a setting.
#[utoipa::path(post, path = "/git/config", operation_id = "SetGitConfig", tag = "git",
    request_body = GitSetConfigRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn set_config(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitSetConfigRequest>,
) -> Result<Response, DaemonError> {
    request.path = request
        .path
        .as_deref()
        .filter(|path| !path.is_empty())
        .map(|path| absolute(&daemon, path))
        .transpose()?;
    done(&daemon, Operation::SetConfig(request), StatusCode::OK).await
}

/// Writes who makes commits.
#[utoipa::path(post, path = "/git/config/user", operation_id = "ConfigureUser", tag = "git",
    request_body = GitConfigureUserRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn configure_user(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitConfigureUserRequest>,
) -> Result<Response, DaemonError> {
    request.path = request
        .path
        .as_deref()
        .filter(|path| !path.is_empty())
        .map(|path| absolute(&daemon, path))
        .transpose()?;
    done(&daemon, Operation::ConfigureUser(request), StatusCode::OK).await
}

/// Keeps credentials for one host, readable, in a file of the user alone.
#[utoipa::path(post, path = "/git/credentials", operation_id = "Authenticate", tag = "git",
    request_body = GitAuthenticateRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub async fn authenticate(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<GitAuthenticateRequest>,
) -> Result<Response, DaemonError> {
    done(&daemon, Operation::Authenticate(request), StatusCode::OK).await
}

/// Lists the commits that lead to HEAD, the newest first; 50,000 of them at most.
#[utoipa::path(get, path = "/git/history", operation_id = "GetCommitHistory", tag = "git",
    params(("path" = String, Query, description = "The repository")),
    responses((status = 200, body = Vec<GitCommitInfo>), (status = 404, body = ErrorBody)))]
pub async fn history(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<Json<Value>, DaemonError> {
    let path = absolute(&daemon, query.required("path")?)?;
    told(&daemon, Operation::History(path)).await
}

/// Makes a repository.
#[utoipa::path(post, path = "/git/init", operation_id = "InitRepository", tag = "git",
    request_body = GitInitRequest,
    responses((status = 201), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn init(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitInitRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Init(request), StatusCode::CREATED).await
}

/// Fetches a branch and brings it into the current one.
#[utoipa::path(post, path = "/git/pull", operation_id = "PullChanges", tag = "git",
    request_body = GitPullRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 502, body = ErrorBody)))]
pub async fn pull(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitPullRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Pull(request), StatusCode::OK).await
}

/// Pushes a branch.
#[utoipa::path(post, path = "/git/push", operation_id = "PushChanges", tag = "git",
    request_body = GitPushRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody), (status = 502, body = ErrorBody)))]
pub async fn push(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitPushRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Push(request), StatusCode::OK).await
}

/// Lists the remotes.
#[utoipa::path(get, path = "/git/remotes", operation_id = "ListRemotes", tag = "git",
    params(("path" = String, Query, description = "The repository")),
    responses((status = 200, body = ListRemotesResponse), (status = 404, body = ErrorBody)))]
pub async fn list_remotes(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
) -> Result<Json<Value>, DaemonError> {
    let path = absolute(&daemon, query.required("path")?)?;
    told(&daemon, Operation::Remotes(path)).await
}

/// Adds a remote or replaces one.
#[utoipa::path(post, path = "/git/remotes", operation_id = "AddRemote", tag = "git",
    request_body = GitAddRemoteRequest,
    responses((status = 201), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 502, body = ErrorBody)))]
pub async fn add_remote(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitAddRemoteRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::AddRemote(request), StatusCode::CREATED).await
}

/// Sets HEAD, and with it the index and the files, to a commit.
#[utoipa::path(post, path = "/git/reset", operation_id = "ResetChanges", tag = "git",
    request_body = GitResetRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn reset(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitResetRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Reset(request), StatusCode::OK).await
}

/// Restores files of the working tree or of the index.
#[utoipa::path(post, path = "/git/restore", operation_id = "RestoreFiles", tag = "git",
    request_body = GitRestoreRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn restore(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(mut request): LaxJson<GitRestoreRequest>,
) -> Result<Response, DaemonError> {
    request.path = absolute(&daemon, &request.path)?;
    done(&daemon, Operation::Restore(request), StatusCode::OK).await
}

/// Tells what differs from the last commit.
#[utoipa::path(get, path = "/git/status", operation_id = "GetStatus", tag = "git",
    params(("path" = String, Query, description = "The repository")),
    responses((status = 200, body = GitStatus), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn status(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<Json<Value>, DaemonError> {
    let path = absolute(&daemon, query.required("path")?)?;
    told(&daemon, Operation::Status(path)).await
}
