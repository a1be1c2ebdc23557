//! A sandbox's preview token, in a header or in the query, in place of a key.

use axum::Router;
use axum::extract::Request;

use crate::house::{House, STOPPED, TOKEN};

async fn house() -> House {
    let mirror = async |request: Request| {
        let headers: Vec<String> = request.headers().iter().map(|header| format!("{header:?}")).collect();
        format!("{} {}", request.uri(), headers.join(" "))
    };
    House::with_daemon(Router::new().fallback(mirror)).await
}

#[tokio::test]
async fn the_token_opens_its_sandbox_and_does_not_reach_it() {
    let house = house().await;
    let header = format!("X-Daytona-Preview-Token: {TOKEN}\r\n");
    let query = format!("/x?a=%2f&DAYTONA_SANDBOX_AUTH_KEY={TOKEN}&b");
    for (path, headers, went_on) in [
        ("/x?a=%2f&&b=+", header.as_str(), "/x?a=%2f&&b=+ "),
        (query.as_str(), "", "/x?a=%2f&b "),
        (query.as_str(), "authorization: Bearer bad\r\n", "/x?a=%2f&b "),
        (query.as_str(), "x-daytona-preview-token: bad\r\n", "/x?a=%2f&b "),
        (query.as_str(), "authorization: Bearer good\r\n", "/x?a=%2f&b "),
        (&format!("/x?DAYTONA_SANDBOX_AUTH%5FKEY={TOKEN}"), "", "/x "),
        ("/x?DAYTONA_SANDBOX_AUTH_KEY=wrong", header.as_str(), "/x "),
    ] {
        let answer = house.call_without_key("GET", path, headers, "").await;
        assert_eq!(answer.status, 200, "{path} {headers} {}", answer.body);
        assert!(answer.body.starts_with(went_on), "{path}: {}", answer.body);
        let told = answer.body.to_lowercase();
        for secret in [TOKEN, "bearer", "wrong", "preview-token"] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
    assert_eq!(house.touches(), 7);
}

#[tokio::test]
async fn a_wrong_token_opens_nothing() {
    let house = house().await;
    for (path, headers, message) in [
        ("/x", "x-daytona-preview-token: wrong\r\n", "the preview token in the header is not valid"),
        ("/x?DAYTONA_SANDBOX_AUTH_KEY=wrong", "", "the preview token in the query is not valid"),
        (
            "/x?DAYTONA_SANDBOX_AUTH_KEY=wrong",
            "authorization: Bearer bad\r\nx-daytona-preview-token: wrong\r\n",
            "unauthorized: authentication failed: the API key or JWT is not valid,the preview token in the header is not \
             valid,the preview token in the query is not valid",
        ),
        (
            "/x?DAYTONA_SANDBOX_AUTH_KEY=",
            "x-daytona-preview-token: \r\n",
            "unauthorized: missing authentication: provide a preview access token (via header, query parameter, or \
             cookie) or use an API key or JWT",
        ),
        (
            &format!("/x?DAYTONA_SANDBOX_AUTH_KEY={TOKEN}&DAYTONA_SANDBOX_AUTH_KEY={TOKEN}"),
            "",
            "missing authentication",
        ),
        (&format!("/x?daytona_sandbox_auth_key={TOKEN}"), "", "missing authentication"),
        (
            "/x",
            &format!("x-daytona-preview-token: {TOKEN}\r\nx-daytona-preview-token: {TOKEN}\r\n"),
            "missing authentication",
        ),
        ("/x", &format!("authorization: Bearer {TOKEN}\r\n"), "the API key or JWT is not valid"),
    ] {
        let answer = house.call_without_key("GET", path, headers, "").await;
        assert_eq!(answer.status, 401, "{path} {headers}");
        let body = answer.json();
        assert!(body["message"].as_str().is_some_and(|text| text.contains(message)), "{body}");
    }
    // A token is for one sandbox, and tells nothing of another.
    for other in [STOPPED, types::SandboxId::from_u128(9)] {
        let request = format!(
            "GET /toolbox/{other}/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-daytona-preview-token: {TOKEN}\r\n\r\n"
        );
        assert!(house.raw(request.as_bytes()).await.starts_with("HTTP/1.1 401"));
    }
    assert_eq!(house.touches(), 0);
}

#[tokio::test]
async fn a_key_of_another_tenant_is_told_so_unless_a_token_helps() {
    let house = house().await;
    let stranger = types::SandboxId::from_u128(9);
    let request = format!(
        "GET /toolbox/{stranger}/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer good\r\n\
         x-daytona-preview-token: {TOKEN}\r\n\r\n"
    );
    assert!(
        house.raw(request.as_bytes()).await.starts_with("HTTP/1.1 404"),
        "the key's answer is the truer one"
    );
}
