//! Which path is answered by which function.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use daytona_wire::toolbox;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::{
    download, failure, file, info, interpreter, language_server, port, process, repository, session, shell,
    terminal, upload,
};

/// Returns the whole interface.
pub fn router(daemon: Arc<Daemon>) -> Router {
    Router::new()
        .route("/version", get(info::version))
        .route("/init", post(info::init))
        .route("/env", post(info::env))
        .route("/work-dir", get(info::work_dir))
        .route("/project-dir", get(info::work_dir)) // the name that the oldest SDKs know
        .route("/user-home-dir", get(info::user_home_dir))
        .route("/system/metrics", get(info::metrics))
        .route("/process/execute", post(process::execute))
        .route("/process/code-run", post(process::code_run))
        .route("/files", get(file::list).delete(file::delete))
        .route("/files/info", get(file::get_info))
        .route("/files/folder", post(file::folder))
        .route("/files/move", post(file::relocate))
        .route("/files/permissions", post(file::permissions))
        .route("/files/find", get(file::find_text))
        .route("/files/search", get(file::search))
        .route("/files/replace", post(file::replace_text))
        .route("/files/upload", post(upload::upload))
        .route("/files/upload-v2", post(upload::upload_v2))
        .route("/files/bulk-upload", post(upload::bulk_upload))
        .route("/files/download", get(download::download))
        .route("/files/bulk-download", post(download::bulk_download))
        .merge(session::routes())
        .merge(terminal::routes())
        .merge(interpreter::routes())
        .merge(repository::routes())
        .merge(language_server::routes())
        .merge(port::routes())
        .merge(shell::routes())
        .fallback(absent)
        .method_not_allowed_fallback(absent)
        // Uploads have no limit but the disk; JSON bodies have their own (see `extract`).
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&daemon), failure::explain))
        .with_state(daemon)
}

/// Answers for everything that is not built: 501 where the contract has it, else 405 or 404.
async fn absent(request: Request) -> DaemonError {
    let (parts, body) = request.into_parts();
    // A short body is read all the same: a client that is still sending would not hear the answer.
    let _ = axum::body::to_bytes(body, UNREAD_BYTES).await;
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let mut is_known = BUILT_BEYOND_CONTRACT.contains(&path);
    for operation in toolbox::operations().filter(|operation| is_path(operation.path, path)) {
        if operation.method == method {
            return DaemonError::NotImplemented { method: method.to_owned(), path: path.to_owned() };
        }
        is_known = true;
    }
    if is_known {
        DaemonError::MethodNotAllowed { method: method.to_owned() }
    } else {
        DaemonError::NoSuchOperation
    }
}

/// How much of a body is read although nothing is done with it.
const UNREAD_BYTES: usize = 256 * 1024;

/// Paths that neither published document has.
const BUILT_BEYOND_CONTRACT: [&str; 1] = ["/project-dir"];

/// Returns whether a request's path fits a path of the contract, `{name}` standing for any one segment.
fn is_path(contract: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let fits = contract.split('/').all(|expected| {
        segments
            .next()
            .is_some_and(|segment| segment == expected || (expected.starts_with('{') && !segment.is_empty()))
    });
    fits && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_segments_take_one_segment() {
        assert!(is_path("/a/{id}/b", "/a/x%2Fy/b"));
        for path in ["/a/b", "/a//b", "/a/x/y/b", "/a/x/b/", "/a/x/c"] {
            assert!(!is_path("/a/{id}/b", path), "{path}");
        }
    }
}
