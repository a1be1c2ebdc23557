//! Files on their way in, one or many, of any size, in about a megabyte of memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::file::{FsFileResult, UploadFilesResponse, UploadedFile};
use futures_util::{Stream, StreamExt as _};
use multer::{Field, Multipart};
use serde::Serialize;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::extract::Query;
use crate::http::failure::Failure;
use crate::http::form::{FieldKind, broken_form, form, is_form, parse_field_name, read_path};
use crate::http::store::store;

/// How many files one request may carry.
const FILES: usize = 10_000;
/// How long the paths of one request may be together: they are held until the answer.
const PATHS_BYTES: usize = 4 * 1024 * 1024;

/// Stores one file from a form or from a bare body.
#[utoipa::path(post, path = "/files/upload-v2", operation_id = "UploadFile", tag = "file-system",
    params(("path" = String, Query, description = "Where it goes")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = UploadedFile), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 413, body = ErrorBody)))]
pub async fn upload_v2(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
    request: Request,
) -> Result<Json<UploadedFile>, DaemonError> {
    let path = store_one(&daemon, &query, request).await?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Json(UploadedFile { name, path: path.to_string_lossy().into_owned(), kind: "file".to_owned() }))
}

/// Stores one file from a form; older SDKs use it, newer ones `/files/upload-v2`.
#[utoipa::path(post, path = "/files/upload", operation_id = "UploadFileV1", tag = "file-system",
    params(("path" = String, Query, description = "Where it goes")),
    request_body(content = Vec<u8>, content_type = "multipart/form-data"),
    responses((status = 200), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 413, body = ErrorBody)))]
pub async fn upload(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
    request: Request,
) -> Result<StatusCode, DaemonError> {
    store_one(&daemon, &query, request).await.map(|_| StatusCode::OK)
}

async fn store_one(daemon: &Daemon, query: &Query, request: Request) -> Result<PathBuf, DaemonError> {
    let target = query.required("path").and_then(|path| daemon.origin.resolve("write", path));
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let stored = match target {
        Ok(path) if is_form(&parts.headers) => match form(&parts.headers, &mut body) {
            Ok(mut form) => store_file_field(daemon, &mut form, path).await,
            Err(error) => Err(error),
        },
        Ok(path) => store(daemon, path.clone(), &mut body).await.map(|_| path),
        Err(error) => Err(error),
    };
    drain(&mut body).await;
    stored
}

async fn store_file_field(
    daemon: &Daemon,
    form: &mut Multipart<'_>,
    path: PathBuf,
) -> Result<PathBuf, DaemonError> {
    while let Some(mut field) = form.next_field().await.map_err(|error| broken_form(&error))? {
        if field.name() == Some("file") {
            store(daemon, path.clone(), &mut field).await?;
            return Ok(path);
        }
    }
    let reason = "the form has no field `file`; send the contents in a field of that name".to_owned();
    Err(DaemonError::Invalid { reason })
}

/// Stores many files: for each, a field `files[i].path` and, somewhere after it, a field `files[i].file`.
#[utoipa::path(post, path = "/files/bulk-upload", operation_id = "UploadFiles", tag = "file-system",
    request_body(content = Vec<u8>, content_type = "multipart/form-data"),
    responses((status = 200, body = UploadFilesResponse), (status = 400, body = ErrorBody),
        (status = 413, body = ErrorBody)))]
pub async fn bulk_upload(State(daemon): State<Arc<Daemon>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let mut batch = Batch::default();
    let received = match form(&parts.headers, &mut body) {
        Ok(mut form) => batch.receive(&daemon, &mut form).await,
        Err(error) => Err(error),
    };
    batch.failures.extend(received.err().map(Failure::from));
    drain(&mut body).await;
    batch.answer(&daemon, &parts.method, &parts.uri)
}

/// The files of one bulk upload: first paths or path by path, both orders exist.
#[derive(Debug, Default)]
struct Batch {
    /// Those whose file has not come yet.
    paths: HashMap<String, String>,
    /// Bytes of all paths that ever came: results and failures hold theirs, too.
    paths_bytes: usize,
    files: Vec<FsFileResult>,
    failures: Vec<Failure>,
}

/// The error body, plus what bulk uploads alone have: the reasons one by one, and what arrived all the same.
#[derive(Debug, Serialize)]
struct BatchFailure {
    #[serde(flatten)]
    error: ErrorBody,
    errors: Vec<String>,
    files: Vec<FsFileResult>,
}

impl Batch {
    async fn receive(&mut self, daemon: &Daemon, form: &mut Multipart<'_>) -> Result<(), DaemonError> {
        while let Some(mut field) = form.next_field().await.map_err(|error| broken_form(&error))? {
            match field.name().and_then(parse_field_name) {
                Some((index, FieldKind::Path)) => {
                    self.admit()?;
                    let path = read_path(&mut field).await?;
                    self.expect(index, path)?;
                }
                Some((index, FieldKind::File)) => {
                    if !self.paths.contains_key(&index) {
                        self.admit()?;
                    }
                    let outcome = self.receive_file(daemon, &index, &mut field).await;
                    outcome.unwrap_or_else(|error| self.failures.push(Failure::from(error)));
                    drain(&mut field).await;
                }
                None => {}
            }
        }
        if self.files.is_empty() && self.failures.is_empty() {
            let reason = "the form has no files; send fields `files[0].path` and `files[0].file`".to_owned();
            return Err(DaemonError::Invalid { reason });
        }
        Ok(())
    }

    /// Refuses one more file when the request has brought enough of them, stored, failed or announced.
    fn admit(&self) -> Result<(), DaemonError> {
        if self.files.len() + self.failures.len() + self.paths.len() < FILES {
            return Ok(());
        }
        let reason = format!("one upload carries at most {FILES} files; send the rest in another");
        Err(DaemonError::Invalid { reason })
    }

    /// Keeps a path until its file comes.
    fn expect(&mut self, index: String, path: String) -> Result<(), DaemonError> {
        self.paths_bytes += path.len();
        if self.paths_bytes > PATHS_BYTES {
            let reason = format!(
                "the paths of one upload have at most {PATHS_BYTES} bytes together; send the rest in another"
            );
            return Err(DaemonError::Invalid { reason });
        }
        self.paths.insert(index, path);
        Ok(())
    }

    async fn receive_file(
        &mut self,
        daemon: &Daemon,
        index: &str,
        field: &mut Field<'_>,
    ) -> Result<(), DaemonError> {
        let path = self.paths.remove(index).ok_or_else(|| DaemonError::Invalid {
            reason: format!(
                "field `files[{index}].file` came before `files[{index}].path`; send the path first"
            ),
        })?;
        let target = daemon.origin.resolve("write", &path)?;
        let bytes = store(daemon, target, field).await?;
        self.files.push(FsFileResult { path, bytes });
        Ok(())
    }

    fn answer(self, daemon: &Daemon, method: &Method, uri: &Uri) -> Response {
        let Self { files, failures, .. } = self;
        let is_telling = |failure: &&Failure| {
            failure.status == StatusCode::PAYLOAD_TOO_LARGE || failure.status.is_server_error()
        };
        // A full disk or a broken one explains all that follows; anything else is 400, as the SDKs expect.
        if let Some(first) = failures.iter().find(is_telling).cloned() {
            return fail(&first, failures, files, daemon, method, uri);
        }
        match failures.first().cloned() {
            Some(first) => {
                let failure = Failure { status: StatusCode::BAD_REQUEST, ..first };
                fail(&failure, failures, files, daemon, method, uri)
            }
            None => Json(UploadFilesResponse { files, errors: Vec::new() }).into_response(),
        }
    }
}

fn fail(
    failure: &Failure,
    failures: Vec<Failure>,
    files: Vec<FsFileResult>,
    daemon: &Daemon,
    method: &Method,
    uri: &Uri,
) -> Response {
    let errors = failures.into_iter().map(|failure| failure.message).collect();
    let error = failure.body(method, uri, daemon.clock.now());
    (failure.status, Json(BatchFailure { error, errors, files })).into_response()
}

/// Reads and forgets the rest: a client that is still sending would not hear the answer. A form ends with its last
/// boundary, the body a moment later, and a connection whose body was not read to its end could not be used again.
async fn drain<S, E>(pieces: &mut S)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    while let Some(Ok(_)) = pieces.next().await {}
}
