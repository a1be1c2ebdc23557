//! `daytona openapi`: the document that the server serves.

use crate::output;

pub(crate) fn run() -> anyhow::Result<()> {
    output::data(&api::openapi_json());
    Ok(())
}
