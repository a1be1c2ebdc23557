//! Asking language servers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::language_server::{
    CompletionList, LspCompletionParams, LspDocumentRequest, LspServerRequest, LspSymbol,
};
use utoipa::OpenApi;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::extract::{LaxJson, Query};
use crate::http::file::TRUNCATED;
use crate::language_server::Key;
use crate::language_server::document::candidates;

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/lsp/start", post(start))
        .route("/lsp/stop", post(stop))
        .route("/lsp/did-open", post(did_open))
        .route("/lsp/did-close", post(did_close))
        .route("/lsp/completions", post(completions_of))
        .route("/lsp/document-symbols", get(document_symbols))
        .route("/lsp/workspacesymbols", get(workspace_symbols))
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(start, stop, did_open, did_close, completions_of, document_symbols, workspace_symbols))]
pub struct Document;

/// Starts a language server and waits until it is ready.
#[utoipa::path(post, path = "/lsp/start", operation_id = "Start", tag = "lsp",
    request_body = LspServerRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 500, body = ErrorBody)))]
pub async fn start(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<LspServerRequest>,
) -> Result<StatusCode, DaemonError> {
    let key = Key::new(&daemon.origin, &request.language_id, &request.path_to_project)?;
    daemon.language_servers.start(key, &daemon.executor, &daemon.environment, &daemon.origin).await?;
    Ok(StatusCode::OK)
}

/// Stops a language server.
#[utoipa::path(post, path = "/lsp/stop", operation_id = "Stop", tag = "lsp",
    request_body = LspServerRequest,
    responses((status = 200), (status = 400, body = ErrorBody)))]
pub async fn stop(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<LspServerRequest>,
) -> Result<StatusCode, DaemonError> {
    let key = Key::new(&daemon.origin, &request.language_id, &request.path_to_project)?;
    daemon.language_servers.stop(&key).await?;
    Ok(StatusCode::OK)
}

/// Opens a document, or brings one that is open up to date.
#[utoipa::path(post, path = "/lsp/did-open", operation_id = "DidOpen", tag = "lsp",
    request_body = LspDocumentRequest,
    responses((status = 200), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn did_open(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<LspDocumentRequest>,
) -> Result<StatusCode, DaemonError> {
    let key = Key::new(&daemon.origin, &request.language_id, &request.path_to_project)?;
    let server = daemon.language_servers.get(&key).await?;
    server.open(candidates(&daemon.origin, &request.uri)?).await?;
    Ok(StatusCode::OK)
}

/// Closes a document.
#[utoipa::path(post, path = "/lsp/did-close", operation_id = "DidClose", tag = "lsp",
    request_body = LspDocumentRequest,
    responses((status = 200), (status = 400, body = ErrorBody)))]
pub async fn did_close(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<LspDocumentRequest>,
) -> Result<StatusCode, DaemonError> {
    let key = Key::new(&daemon.origin, &request.language_id, &request.path_to_project)?;
    let server = daemon.language_servers.get(&key).await?;
    server.close(&candidates(&daemon.origin, &request.uri)?).await?;
    Ok(StatusCode::OK)
}

/// Tells what could be written at a place in a document.
#[utoipa::path(post, path = "/lsp/completions", operation_id = "Completions", tag = "lsp",
    request_body = LspCompletionParams,
    responses((status = 200, body = CompletionList), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 408, body = ErrorBody)))]
pub async fn completions_of(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<LspCompletionParams>,
) -> Result<Json<CompletionList>, DaemonError> {
    let key = Key::new(&daemon.origin, &request.language_id, &request.path_to_project)?;
    let server = daemon.language_servers.get(&key).await?;
    let document = candidates(&daemon.origin, &request.uri)?;
    server.completions(document, request.position, request.context).await.map(Json)
}

/// Tells everything that has a name in a document.
#[utoipa::path(get, path = "/lsp/document-symbols", operation_id = "DocumentSymbols", tag = "lsp",
    params(("languageId" = String, Query, description = "`python`, `typescript` or `javascript`."),
        ("pathToProject" = String, Query, description = "The project's directory."),
        ("uri" = String, Query, description = "The document: `file://` and its path.")),
    responses((status = 200, body = Vec<LspSymbol>), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 408, body = ErrorBody)))]
pub async fn document_symbols(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
) -> Result<Json<Vec<LspSymbol>>, DaemonError> {
    let key = Key::new(&daemon.origin, query.required("languageId")?, query.required("pathToProject")?)?;
    let document = candidates(&daemon.origin, query.required("uri")?)?;
    let server = daemon.language_servers.get(&key).await?;
    server.document_symbols(document).await.map(Json)
}

/// Tells what has a name like this anywhere in a project.
#[utoipa::path(get, path = "/lsp/workspacesymbols", operation_id = "WorkspaceSymbols", tag = "lsp",
    params(("languageId" = String, Query, description = "`python`, `typescript` or `javascript`."),
        ("pathToProject" = String, Query, description = "The project's directory."),
        ("query" = Option<String>, Query, description = "A part of the name; everything when empty.")),
    responses((status = 200, body = Vec<LspSymbol>), (status = 400, body = ErrorBody),
        (status = 408, body = ErrorBody)))]
pub async fn workspace_symbols(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
) -> Result<Response, DaemonError> {
    let key = Key::new(&daemon.origin, query.required("languageId")?, query.required("pathToProject")?)?;
    let server = daemon.language_servers.get(&key).await?;
    let found = server.workspace_symbols(query.optional("query").unwrap_or_default()).await?;
    Ok(([(TRUNCATED, found.is_cut_short.to_string())], Json(found.results)).into_response())
}
