//! Answers with a program's output; a long one is written piece by piece, so that it exists in memory only once.

use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use daytona_wire::toolbox::process::{CodeRunArtifacts, CodeRunResponse};
use futures_util::stream;

use crate::cause::Explanation;
use crate::execution::Outcome;

/// Outputs up to this length are answered at once, with a length.
const SMALL_BYTES: usize = 64 * 1024;

/// Answers with exit code, output and artifacts: an `ExecuteResponse`, or a `CodeRunResponse` when it has artifacts.
pub fn answer(outcome: Outcome, artifacts: Option<CodeRunArtifacts>) -> Response {
    let Outcome { exit_code, output, explanation } = outcome;
    let told = told(explanation);
    let is_small = output.len() <= SMALL_BYTES;
    let mut texts = output.into_texts();
    if is_small {
        return Json(CodeRunResponse { exit_code, result: texts.collect(), artifacts, ..told })
            .into_response();
    }
    let whole = serde_json::to_string(&CodeRunResponse { exit_code, artifacts, ..told }).unwrap_or_default();
    // An empty result is written first and second: its two quotes are where the text goes.
    let (beginning, end) = whole.split_once(r#""result":"""#).unwrap_or_default();
    let (beginning, end) = (format!(r#"{beginning}"result":""#), format!(r#""{end}"#));
    let pieces = std::iter::once(beginning)
        .chain(std::iter::from_fn(move || texts.next()).map(|text| escape(&text)))
        .chain(std::iter::once(end));
    let body = Body::from_stream(stream::iter(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece)))));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Returns an answer with nothing in it but why the command ended badly.
fn told(explanation: Option<Explanation>) -> CodeRunResponse {
    let Some(explanation) = explanation else { return CodeRunResponse::default() };
    CodeRunResponse {
        cause: Some(explanation.cause.as_str().to_owned()),
        evidence: Some(explanation.evidence),
        remedy: Some(explanation.remedy.to_owned()),
        ..CodeRunResponse::default()
    }
}

/// Returns the inside of a JSON string.
pub fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use daytona_wire::toolbox::chart::Chart;
    use types::inspection::Cause;

    use super::*;
    use crate::output::{Budget, Output};

    #[tokio::test]
    async fn a_long_answer_is_the_same_json_as_a_short_one() {
        let text = "é\"\\\n\u{1}\0".repeat(20_000);
        let explanation = Explanation { cause: Cause::DiskFull, evidence: "\"full\"".into(), remedy: "less" };
        for artifacts in [None, Some(CodeRunArtifacts { charts: vec![Chart::default()] })] {
            for explanation in [None, Some(explanation.clone())] {
                let outcome = |text: &str| {
                    let mut output = Output::new(Budget::default());
                    output.push(text.as_bytes());
                    Outcome { exit_code: -1, output, explanation: explanation.clone() }
                };
                let read = async |outcome: Outcome| {
                    let response = answer(outcome, artifacts.clone());
                    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("body");
                    serde_json::from_slice::<CodeRunResponse>(&bytes).expect("JSON")
                };
                let (short, long) = (read(outcome("x")).await, read(outcome(&text)).await);
                assert_eq!((&long.result, long.exit_code), (&text, -1));
                assert_eq!(long.artifacts, artifacts);
                assert_eq!(long.evidence, explanation.as_ref().map(|it| it.evidence.clone()));
                assert_eq!(CodeRunResponse { result: text.clone(), ..short }, long);
            }
        }
    }
}
