//! Conscience: no operation is forgotten, by the guard at the door or by the contract.

use std::collections::BTreeSet;

use daytona_wire::api::OPERATIONS;
use serde_json::Value;
use testkit::TestApi;

/// What anyone may ask. Only ever to shrink.
const PUBLIC: [(&str, &str); 3] = [("GET", "/config"), ("GET", "/health"), ("GET", "/health/ready")];

/// What we serve beyond the contract.
const OURS: [(&str, &str); 2] =
    [("GET", "/sandbox/{sandboxIdOrName}/egress"), ("POST", "/sandbox/{sandboxIdOrName}/volumes")];

fn contract() -> BTreeSet<(String, String)> {
    let lines = OPERATIONS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            assert_eq!(columns.len(), 3, "{line}");
            (columns[0].to_owned(), columns[1].to_owned())
        })
        .collect()
}

fn built() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let mut built = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                built.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    built
}

/// Puts something in place of every variable of a path.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
    format!("/api{}", parts.collect::<Vec<_>>().join("/"))
}

#[tokio::test]
async fn every_operation_but_the_public_ones_wants_a_key() {
    let api = TestApi::start().await.unwrap();
    let built = built();
    assert!(built.len() >= 40);
    for (method, path) in &built {
        let public = PUBLIC.contains(&(method.as_str(), path.as_str()));
        for key in ["", "dtn_0000000000000000000000000000000000000000000000000000000000000000"] {
            let answer = api.call_as(key, method, &filled(path), Value::Null).await;
            let expected = if public { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{method} {path}");
        }
    }
    for (method, path) in PUBLIC {
        assert!(built.contains(&(method.to_owned(), path.to_owned())), "{path} is built");
    }
}

#[test]
fn everything_built_is_part_of_the_contract_or_named_as_ours() {
    let strange: Vec<_> = built().difference(&contract()).cloned().collect();
    let ours: Vec<_> = OURS.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(strange, ours);
}

#[tokio::test]
async fn everything_else_of_the_contract_says_that_it_is_not_built() {
    let api = TestApi::start().await.unwrap();
    let missing: Vec<_> = contract().difference(&built()).cloned().collect();
    assert!(missing.len() > 150);
    for (method, path) in missing {
        let answer = api.call_as("", &method, &filled(&path), Value::Null).await;
        assert_eq!(answer.status, 501, "{method} {path}");
        assert_eq!(answer.text("code"), "NOT_IMPLEMENTED");
        assert!(
            answer.text("message").starts_with(&format!("{method} {path} is not built yet")),
            "{}",
            answer.text("message")
        );
    }
}
