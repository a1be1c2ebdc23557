//! Looking at files and changing them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::file::{FileInfo, Match, ReplaceRequest, ReplaceResult, SearchFilesResponse};

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::file::change::{self, Permissions, parse_mode};
use crate::file::walk::Cancellation;
use crate::file::{blocking, find, info, replace};
use crate::http::extract::{LaxJson, Query};

/// Says `true` when a result stopped at its limit.
pub const TRUNCATED: HeaderName = HeaderName::from_static("x-daytona-truncated");
/// What a folder may be used for unless the request says otherwise.
const FOLDER_MODE: u32 = 0o755;

/// Lists a directory, several levels deep if asked.
#[utoipa::path(get, path = "/files", operation_id = "ListFiles", tag = "file-system",
    params(("path" = Option<String>, Query, description = "The directory; the work directory when absent"),
        ("depth" = Option<u32>, Query, description = "How many levels to list; 1 when absent")),
    responses((status = 200, body = [FileInfo]), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn list(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<Response, DaemonError> {
    let path = daemon.origin.resolve("list", query.optional("path").unwrap_or("."))?;
    let depth = query.count("depth")?;
    let json = blocking(move || info::list(&path, depth)).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// Describes one file.
#[utoipa::path(get, path = "/files/info", operation_id = "GetFileInfo", tag = "file-system",
    params(("path" = String, Query, description = "The file")),
    responses((status = 200, body = FileInfo), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn get_info(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
) -> Result<Json<FileInfo>, DaemonError> {
    let path = daemon.origin.resolve("describe", query.required("path")?)?;
    blocking(move || info::info(&path)).await.map(Json)
}

/// Makes a directory and those above it.
#[utoipa::path(post, path = "/files/folder", operation_id = "CreateFolder", tag = "file-system",
    params(("path" = String, Query, description = "The directory"),
        ("mode" = Option<String>, Query, description = "Octal permission bits; 0755 when absent")),
    responses((status = 201), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub async fn folder(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<StatusCode, DaemonError> {
    let path = daemon.origin.resolve("create folder", query.required("path")?)?;
    let mode = query.optional("mode").map_or(Ok(FOLDER_MODE), parse_mode)?;
    blocking(move || change::make_folder(&path, mode)).await?;
    Ok(StatusCode::CREATED)
}

/// Moves a file or directory to where nothing is yet.
#[utoipa::path(post, path = "/files/move", operation_id = "MoveFile", tag = "file-system",
    params(("source" = String, Query, description = "What to move"),
        ("destination" = String, Query, description = "Its new path")),
    responses((status = 200), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn relocate(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<StatusCode, DaemonError> {
    let source = daemon.origin.resolve("move", query.required("source")?)?;
    let destination = daemon.origin.resolve("move to", query.required("destination")?)?;
    let token = daemon.token();
    blocking(move || change::relocate(&source, &destination, &token)).await?;
    Ok(StatusCode::OK)
}

/// Deletes a file, or a directory with everything in it.
#[utoipa::path(delete, path = "/files", operation_id = "DeleteFile", tag = "file-system",
    params(("path" = String, Query, description = "What to delete"),
        ("recursive" = Option<bool>, Query, description = "Whether a directory goes with everything in it")),
    responses((status = 204), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn delete(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<StatusCode, DaemonError> {
    let path = daemon.origin.resolve("delete", query.required("path")?)?;
    let recursive = query.switch("recursive")?;
    blocking(move || change::delete(&path, recursive)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes owner, group and permission bits.
#[utoipa::path(post, path = "/files/permissions", operation_id = "SetFilePermissions", tag = "file-system",
    params(("path" = String, Query, description = "The file or directory"),
        ("owner" = Option<String>, Query, description = "A user's name or number"),
        ("group" = Option<String>, Query, description = "A group's name or number"),
        ("mode" = Option<String>, Query, description = "Octal permission bits")),
    responses((status = 200), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn permissions(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<StatusCode, DaemonError> {
    let path = daemon.origin.resolve("set permissions of", query.required("path")?)?;
    let permissions = Permissions {
        owner: query.optional("owner").map(str::to_owned),
        group: query.optional("group").map(str::to_owned),
        mode: query.optional("mode").map(parse_mode).transpose()?,
    };
    blocking(move || change::set_permissions(&path, &permissions)).await?;
    Ok(StatusCode::OK)
}

/// Finds a text in the files of a directory.
#[utoipa::path(get, path = "/files/find", operation_id = "FindInFiles", tag = "file-system",
    params(("path" = String, Query, description = "A directory or file"),
        ("pattern" = String, Query, description = "The text, taken literally")),
    responses((status = 200, body = [Match]), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn find_text(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<Response, DaemonError> {
    let path = daemon.origin.resolve("search", query.required("path")?)?;
    let text = query.required("pattern")?.to_owned();
    let cancellation = Cancellation::default();
    let _guard = cancellation.guard();
    let found = blocking(move || find::find(&path, &text, &cancellation)).await?;
    Ok(([(TRUNCATED, found.is_cut_short.to_string())], Json(found.results)).into_response())
}

/// Finds files by their names.
#[utoipa::path(get, path = "/files/search", operation_id = "SearchFiles", tag = "file-system",
    params(("path" = String, Query, description = "A directory"),
        ("pattern" = String, Query, description = "A pattern for the last part of the path, such as `*.py`")),
    responses((status = 200, body = SearchFilesResponse), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn search(State(daemon): State<Arc<Daemon>>, query: Query) -> Result<Response, DaemonError> {
    let path = daemon.origin.resolve("search", query.required("path")?)?;
    let pattern = query.required("pattern")?.to_owned();
    let cancellation = Cancellation::default();
    let _guard = cancellation.guard();
    let found = blocking(move || find::search(&path, &pattern, &cancellation)).await?;
    let response = SearchFilesResponse { files: found.results };
    Ok(([(TRUNCATED, found.is_cut_short.to_string())], Json(response)).into_response())
}

/// Replaces a text in several files.
#[utoipa::path(post, path = "/files/replace", operation_id = "ReplaceInFiles", tag = "file-system",
    request_body = ReplaceRequest,
    responses((status = 200, body = [ReplaceResult]), (status = 400, body = ErrorBody)))]
pub async fn replace_text(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<ReplaceRequest>,
) -> Result<Json<Vec<ReplaceResult>>, DaemonError> {
    if request.pattern.is_empty() || request.files.is_empty() {
        let reason = "`files` and `pattern` cannot be empty; name at least one file and the text to replace"
            .to_owned();
        return Err(DaemonError::Invalid { reason });
    }
    let mut results = Vec::with_capacity(request.files.len());
    for file in &request.files {
        let outcome = replace_in_file(&daemon, file, &request).await;
        let error = outcome.err().map(|error| error.message());
        results.push(ReplaceResult { file: file.clone(), success: error.is_none(), error });
    }
    Ok(Json(results))
}

async fn replace_in_file(daemon: &Daemon, file: &str, request: &ReplaceRequest) -> Result<(), DaemonError> {
    let path = daemon.origin.resolve("replace in", file)?;
    let (text, replacement, token) = (request.pattern.clone(), request.new_value.clone(), daemon.token());
    blocking(move || replace::replace(&path, &text, &replacement, &token)).await
}
