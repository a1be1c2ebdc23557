//! Answers with a program's output; a long one is written piece by piece, so that it exists in memory only once.

use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use daytona_wire::toolbox::process::{CodeRunArtifacts, CodeRunResponse};
use futures_util::stream;

use crate::execution::Outcome;

/// Outputs up to this length are answered at once, with a length.
const SMALL_BYTES: usize = 64 * 1024;

/// Answers with exit code, output and artifacts: an `ExecuteResponse`, or a `CodeRunResponse` when it has artifacts.
pub fn answer(outcome: Outcome, artifacts: Option<CodeRunArtifacts>) -> Response {
    let Outcome { exit_code, output } = outcome;
    let is_small = output.len() <= SMALL_BYTES;
    let mut texts = output.into_texts();
    if is_small {
        return Json(CodeRunResponse { exit_code, result: texts.collect(), artifacts }).into_response();
    }
    let beginning = format!(r#"{{"exitCode":{exit_code},"result":""#);
    let end = artifacts
        .and_then(|artifacts| serde_json::to_string(&artifacts).ok())
        .map_or_else(|| "\"}".to_owned(), |artifacts| format!(r#"","artifacts":{artifacts}}}"#));
    let pieces = std::iter::once(beginning)
        .chain(std::iter::from_fn(move || texts.next()).map(|text| escape(&text)))
        .chain(std::iter::once(end));
    let body = Body::from_stream(stream::iter(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece)))));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Returns the inside of a JSON string.
fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use daytona_wire::toolbox::chart::Chart;

    use super::*;
    use crate::output::{Budget, Output};

    #[tokio::test]
    async fn a_long_answer_is_the_same_json_as_a_short_one() {
        let text = "é\"\\\n\u{1}\0".repeat(20_000);
        for artifacts in [None, Some(CodeRunArtifacts { charts: vec![Chart::default()] })] {
            let mut output = Output::new(Budget::default());
            output.push(text.as_bytes());
            let response = answer(Outcome { exit_code: -1, output }, artifacts.clone());
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("body");
            let parsed: CodeRunResponse = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(parsed, CodeRunResponse { exit_code: -1, result: text.clone(), artifacts });
        }
    }
}
