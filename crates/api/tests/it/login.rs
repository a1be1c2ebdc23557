//! Who logs in: the first time, with and without an organisation, and beside others.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use testkit::issuer::AUDIENCE;
use testkit::{Answer, Issuer, TestApi};
use types::{Clock as _, OrganizationId, UserId};

struct Ground {
    issuer: Issuer,
    api: TestApi,
}

impl Ground {
    async fn start() -> Self {
        let issuer = Issuer::start().await.unwrap();
        let api = TestApi::start_with_login(&issuer).await.unwrap();
        Self { issuer, api }
    }

    /// Returns a token of this user, good for a minute, with more claims.
    fn token(&self, user: &str, more: &Value) -> String {
        let end = self.api.clock.now().as_second() + 60;
        let mut claims = json!({"iss": self.issuer.url, "aud": AUDIENCE, "sub": user, "exp": end});
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        self.issuer.sign("curve", &claims).unwrap()
    }

    async fn send(&self, token: &str, method: &str, path: &str, organizations: &[&str]) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        for organization in organizations {
            request = request.header("x-daytona-organization-id", *organization);
        }
        self.api.send(request.body(Body::empty()).unwrap()).await
    }

    /// Returns the personal organisation of whoever shows a token.
    async fn home(&self, token: &str) -> String {
        let listed = self.send(token, "GET", "/api/organizations", &[]).await;
        assert_eq!(listed.status, 200, "{}", listed.json());
        listed.json()[0]["id"].as_str().unwrap().to_owned()
    }
}

fn assert_says(answer: &Answer, status: u16, message: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("message").as_str()), (status, message));
}

#[tokio::test]
async fn the_first_login_makes_a_user_and_an_organisation() {
    let ground = Ground::start().await;
    let token =
        ground.token("auth0|ada", &json!({"email": "ada@test", "name": "Ada", "email_verified": true}));
    let me = ground.send(&token, "GET", "/api/users/me", &[]).await;
    let expected = json!({
        "id": "auth0|ada", "name": "Ada", "email": "ada@test", "emailVerified": true, "publicKeys": [],
        "createdAt": "2026-11-22T04:13:40.000Z",
    });
    assert_eq!((me.status.as_u16(), me.json()), (200, expected));
    let listed = ground.send(&token, "GET", "/api/organizations", &[]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let home = &listed[0];
    for (field, value) in [
        ("name", json!("Personal")),
        ("personal", json!(true)),
        ("createdBy", json!("auth0|ada")),
        ("suspended", json!(false)),
        ("suspendedAt", json!("1970-01-01T00:00:00.000Z")),
        ("defaultRegionId", json!("us")),
        ("maxCpuPerSandbox", json!(4)),
    ] {
        assert_eq!(home[field], value, "{field}");
    }
    // What is required of an organisation by both published generations.
    for field in [
        "secretQuota",
        "maxSecretsPerSandbox",
        "scimEnabled",
        "otelConfig",
        "experimentalConfig",
        "updatedAt",
    ] {
        assert!(home.get(field).is_some(), "{field}");
    }
    let id = home["id"].as_str().unwrap();
    let made = ground.send(&token, "POST", "/api/sandbox", &[id]).await;
    assert_eq!((made.status.as_u16(), made.text("organizationId").as_str()), (200, id));
    let path = format!("/api/sandbox/{}", made.text("id"));
    assert_eq!(ground.send(&token, "GET", &path, &[id]).await.status, 200);
    assert_eq!(ground.send(&token, "DELETE", &path, &[id]).await.status, 200);
}

#[tokio::test]
async fn a_later_token_renews_what_it_says_and_nothing_else() {
    let ground = Ground::start().await;
    let first = ground.token("ada", &json!({}));
    let home = ground.home(&first).await;
    let me = async |more: &Value| {
        let me = ground.send(&ground.token("ada", more), "GET", "/api/users/me", &[]).await.json();
        (me["name"].clone(), me["email"].clone(), me["emailVerified"].clone())
    };
    assert_eq!(me(&json!({})).await, (json!("ada"), json!(""), json!(false)), "a name is needed");
    let verified = json!({"name": "Ada", "email": "ada@test", "email_verified": true});
    let known = (json!("Ada"), json!("ada@test"), json!(true));
    assert_eq!(me(&verified).await, known);
    assert_eq!(me(&json!({})).await, known, "a token that says less takes nothing away");
    let moved = (json!("Ada"), json!("ada@other"), json!(false));
    assert_eq!(me(&json!({"email": "ada@other"})).await, moved, "another address is not verified");
    assert_eq!(ground.home(&first).await, home);
}

#[tokio::test]
async fn many_first_requests_at_once_make_one_organisation() {
    let ground = Ground::start().await;
    let token = ground.token("ada", &json!({"name": "Ada"}));
    let listed = futures_util::future::join_all((0..30).map(|_| ground.home(&token))).await;
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>().len(), 1);
    let rows = ground.api.store.organization_list_of(&UserId("ada".to_owned())).await.unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn an_organisation_must_be_named_and_be_ones_own() {
    let ground = Ground::start().await;
    let (ada, eve) = (ground.token("ada", &json!({})), ground.token("eve", &json!({})));
    let (home, other) = (ground.home(&ada).await, ground.home(&eve).await);
    let keyed = ground.api.organization_id.to_string();
    let upper = home.to_uppercase();
    let nobody = OrganizationId::from_u128(7).to_string();
    for organizations in [
        &[][..],
        &[""],
        &["Personal"],
        &[upper.as_str()],
        &[nobody.as_str()],
        &[other.as_str()],
        &[keyed.as_str()],
        &[home.as_str(), other.as_str()],
        &[home.as_str(), home.as_str()],
    ] {
        for (method, path) in [("GET", "/api/sandbox"), ("POST", "/api/sandbox"), ("GET", "/api/snapshots")] {
            let answer = ground.send(&ada, method, path, organizations).await;
            assert_says(&answer, 403, "Invalid authentication context");
        }
    }
    assert_eq!(ground.send(&ada, "GET", "/api/sandbox", &[&home]).await.status, 200);
    let made = ground.send(&eve, "POST", "/api/sandbox", &[&other]).await.text("id");
    let path = format!("/api/sandbox/{made}");
    assert_eq!(ground.send(&ada, "GET", &path, &[&home]).await.status, 404);
    assert_eq!(ground.send(&ada, "GET", &path, &[&other]).await.status, 403);
    let listed = ground.send(&ada, "GET", "/api/sandbox", &[&home]).await.json();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn a_key_stands_for_no_user() {
    let ground = Ground::start().await;
    for path in ["/api/users/me", "/api/organizations"] {
        let answer = ground.api.call("GET", path, Value::Null).await;
        assert_says(&answer, 401, "Invalid credentials");
    }
    let home = ground.home(&ground.token("ada", &json!({}))).await;
    let key = &ground.api.key;
    let answer = ground.send(key, "GET", "/api/sandbox", &[&home]).await;
    assert_eq!(answer.status, 200, "a key acts where it belongs, whatever is named");
}

#[tokio::test]
async fn a_bad_token_learns_nothing() {
    let ground = Ground::start().await;
    let good = ground.token("ada", &json!({}));
    let home = ground.home(&good).await;
    let other = ground.token("eve", &json!({}));
    let (head, signature) = (other.rsplit_once('.').unwrap().0, good.rsplit('.').next().unwrap());
    let tampered = format!("{head}.{signature}");
    for token in [
        ground.token("ada", &json!({"exp": 1})),
        ground.token("ada", &json!({"aud": "another"})),
        ground.token("ada", &json!({"iss": "https://another"})),
        ground.token("ada", &json!({"nbf": 4_000_000_000_u64})),
        ground.token("daytona-admin", &json!({})),
        ground.token("ada", &json!({"groups": "x".repeat(20_000)})),
        tampered,
    ] {
        for path in ["/api/sandbox", "/api/users/me"] {
            let answer = ground.send(&token, "GET", path, &[&home]).await;
            assert_says(&answer, 401, "Invalid credentials");
        }
    }
}

#[tokio::test]
async fn belief_in_a_token_ends_with_it() {
    let ground = Ground::start().await;
    let token = ground.token("ada", &json!({}));
    let home = ground.home(&token).await;
    let list = async || ground.send(&token, "GET", "/api/sandbox", &[&home]).await.status.as_u16();
    ground.api.clock.advance(Duration::from_secs(60 + 25));
    assert_eq!(list().await, 200, "within the leeway of thirty seconds");
    ground.api.clock.advance(Duration::from_secs(4));
    assert_eq!(list().await, 200);
    ground.api.clock.advance(Duration::from_secs(1));
    assert_eq!(list().await, 401);
}

#[tokio::test]
async fn without_a_login_provider_a_token_is_told_so() {
    let issuer = Issuer::start().await.unwrap();
    let without = Ground { api: TestApi::start().await.unwrap(), issuer };
    let token = without.token("ada", &json!({}));
    let message = "Invalid credentials: this server takes API keys only, because it has no login provider";
    for path in ["/api/sandbox", "/api/users/me", "/api/organizations"] {
        assert_says(&without.send(&token, "GET", path, &[]).await, 401, message);
    }
    assert_eq!(without.issuer.asked(), 0);
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_fault_of_the_token() {
    let ground = Ground::start().await;
    let token = ground.token("ada", &json!({}));
    ground.issuer.go_away(true);
    let answer = ground.send(&token, "GET", "/api/users/me", &[]).await;
    assert_says(&answer, 503, "Temporary authentication service error");
    assert_eq!(ground.api.call("GET", "/api/sandbox", Value::Null).await.status, 200, "keys go on");
    ground.issuer.go_away(false);
    ground.api.clock.advance(Duration::from_secs(10));
    assert_eq!(ground.send(&token, "GET", "/api/users/me", &[]).await.status, 200);
}
