//! The description of the interface for tools; committed as `openapi/toolbox.json`.

use utoipa::OpenApi;

use crate::http::{download, file, info, process, upload};

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
    serde_json::to_string_pretty(&Toolbox::openapi()).map(|text| text + "\n")
}
