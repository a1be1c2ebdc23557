//! The description of the interface for tools; committed as `openapi/toolbox.json`.

use utoipa::OpenApi;

use crate::http::{
    download, file, info, interpreter, language_server, port, process, repository, session, terminal, upload,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Daytona toolbox",
        description = "What the daemon inside a sandbox answers.",
        version = "0"
    ),
    paths(
        info::version,
        info::init,
        info::env,
        info::work_dir,
        info::user_home_dir,
        info::metrics,
        process::execute,
        process::code_run,
        file::list,
        file::delete,
        file::get_info,
        file::folder,
        file::relocate,
        file::permissions,
        file::find_text,
        file::search,
        file::replace_text,
        upload::upload,
        upload::upload_v2,
        upload::bulk_upload,
        download::download,
        download::bulk_download,
    )
)]
struct Toolbox;

/// Returns the document as it is committed, with a line feed at its end.
pub fn document() -> Result<String, serde_json::Error> {
    let mut document = Toolbox::openapi();
    for part in [
        session::Document::openapi(),
        terminal::Document::openapi(),
        interpreter::Document::openapi(),
        repository::Document::openapi(),
        language_server::Document::openapi(),
        port::Document::openapi(),
    ] {
        document.merge(part);
    }
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}
