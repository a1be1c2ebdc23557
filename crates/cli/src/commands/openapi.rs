//! `daytona openapi`: the document that the server serves.

use crate::output;

pub(crate) fn run() {
    output::data(&api::openapi_json());
}
