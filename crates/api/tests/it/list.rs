//! Lists as clients ask for them.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::TestApi;

async fn filled() -> TestApi {
    let api = TestApi::start().await.unwrap();
    for number in 0..5 {
        let labels = json!({"parity": (number % 2).to_string(), "e2e": "true"});
        let body = json!({"name": format!("box-{number}"), "labels": labels, "cpu": number % 4 + 1, "public": number == 2});
        assert_eq!(api.call("POST", "/api/sandbox", body).await.status, 200);
        api.clock.advance(Duration::from_mins(1));
    }
    api.call("POST", "/api/sandbox/box-4/stop", Value::Null).await;
    api
}

async fn names(api: &TestApi, query: &str) -> Vec<String> {
    let answer = api.call("GET", &format!("/api/sandbox?{query}"), Value::Null).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.json());
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["name"].as_str().unwrap().trim_start_matches("box-").to_owned()).collect()
}

#[tokio::test]
async fn filters_mean_what_they_say() {
    let api = filled().await;
    for (query, expected) in [
        ("sort=name&order=asc", "01234"),
        ("", "43210"),
        ("limit=2.0&sort=name&order=asc", "01"),
        ("labels=%7B%22parity%22%3A%20%221%22%7D&sort=name&order=asc", "13"),
        ("labels=%7B%22parity%22%3A%20%221%22%2C%22x%22%3A%22y%22%7D", ""),
        ("states=started&sort=name&order=asc", "0123"),
        ("states=started&states=stopped", "43210"),
        ("states[]=stopped", "4"),
        ("states%5B0%5D=stopped", "4"),
        ("states=archived", ""),
        ("name=BOX-3", "3"),
        ("id=ffffffffffff", ""),
        ("minCpu=2&maxCpu=3&sort=cpu&order=asc", "12"),
        ("minMemoryGiB=2", ""),
        ("maxDiskGiB=3&isPublic=true", "2"),
        ("isPublic=True", "2"),
        ("isRecoverable=true", ""),
        ("isRecoverable=false&isPublic=false", "4310"),
        ("sandboxClasses=container&name=box-0", "0"),
        ("sandboxClasses=windows", ""),
        ("regionIds=us&snapshots=default&name=box-1", "1"),
        ("regionIds=eu", ""),
        ("createdAtAfter=2026-11-22T04%3A16%3A40.000000%2B0000", "43"),
        ("createdAtAfter=2026-11-22T04:16:40.000000+0000", "43"),
        ("createdAtBefore=2026-11-22T04:14:40", "10"),
        ("createdAtBefore=2026-11-22T05:14:40%2B01:00", "10"),
        ("autoDestroyAtBefore=2027-01-01T00:00:00Z", ""),
        ("unknown=parameter&name=box-1", "1"),
    ] {
        assert_eq!(names(&api, query).await.concat(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_cursor_walks_the_whole_list() {
    let api = filled().await;
    for order in
        ["sort=name&order=asc", "sort=cpu&order=desc", "sort=lastActivityAt&order=asc", "sort=createdAt"]
    {
        let whole = names(&api, order).await;
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let query = format!("/api/sandbox?limit=2&{order}&cursor={cursor}");
            let page = api.call("GET", &query, Value::Null).await.json();
            for item in page["items"].as_array().unwrap() {
                walked.push(item["name"].as_str().unwrap().trim_start_matches("box-").to_owned());
            }
            match page["nextCursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(walked, whole, "{order}");
    }
    let all = api.call("GET", "/api/sandbox?limit=5", Value::Null).await.json();
    assert_eq!(all["nextCursor"], Value::Null, "a full last page is the last");
}

#[tokio::test]
async fn an_item_has_what_the_sdks_require() {
    let api = filled().await;
    let item = api.call("GET", "/api/sandbox?name=box-2", Value::Null).await.json()["items"][0].clone();
    for field in [
        "id",
        "organizationId",
        "name",
        "target",
        "user",
        "labels",
        "toolboxProxyUrl",
        "state",
        "desiredState",
    ] {
        assert!(item[field].is_string() || item[field].is_object(), "{field}: {item}");
    }
    for field in ["public", "networkBlockAll", "recoverable", "spot"] {
        assert!(item[field].is_boolean(), "{field}: {item}");
    }
    for field in ["cpu", "gpu", "memory", "disk"] {
        assert!(item[field].is_u64(), "{field}: {item}");
    }
    assert_eq!(item.get("env"), None);
}

#[tokio::test]
async fn numbered_pages_for_older_clients() {
    let api = filled().await;
    let page = api
        .call("GET", "/api/sandbox/paginated?page=2&limit=2&sort=name&order=asc", Value::Null)
        .await
        .json();
    assert_eq!((&page["total"], &page["page"], &page["totalPages"]), (&json!(5), &json!(2), &json!(3)));
    assert_eq!(page["items"][0]["name"], "box-2");
    assert!(page["items"][0]["env"].is_object(), "items are in full");
    let filtered = api
        .call("GET", "/api/sandbox/paginated?labels=%7B%22parity%22%3A%221%22%7D&regions=us", Value::Null)
        .await;
    assert_eq!(filtered.json()["total"], 2);
    let beyond = api.call("GET", "/api/sandbox/paginated?page=9", Value::Null).await.json();
    assert_eq!((&beyond["items"], &beyond["total"]), (&json!([]), &json!(5)));
}

#[tokio::test]
async fn a_bad_query_is_told_what_is_wrong() {
    let api = filled().await;
    for (query, message) in [
        ("limit=0", "limit must not be less than 1"),
        ("limit=201", "limit must not be greater than 200"),
        ("limit=abc", "limit must be an integer number"),
        ("limit=1.5", "limit must be an integer number"),
        ("labels=nonsense", "Invalid labels JSON format"),
        ("labels=%7B%22a%22%3A1%7D", "Invalid labels JSON format"),
        ("states=destroyed", "states: `destroyed` is not a state that can be listed"),
        ("states=flying", "states: `flying` is not a state that can be listed"),
        (
            "sort=colour",
            "sort must be one of the following values: name, cpu, memoryGib, diskGib, lastActivityAt, createdAt",
        ),
        ("order=up", "order must be one of the following values: asc, desc"),
        ("cursor=%00", "Invalid cursor"),
        ("cursor=bm90IGpzb24", "Invalid cursor"),
        ("isPublic=maybe", "isPublic must be a boolean value"),
        ("minCpu=0", "minCpu must not be less than 1"),
        ("createdAtAfter=yesterday", "createdAtAfter must be a valid ISO 8601 date string"),
        ("name=%ff", "the query holds an encoded value that is not UTF-8"),
    ] {
        let answer = api.call("GET", &format!("/api/sandbox?{query}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.text("message").as_str()), (400, message), "{query}");
    }
    let page = api.call("GET", "/api/sandbox/paginated?page=0", Value::Null).await;
    assert_eq!(page.text("message"), "page must not be less than 1");
    assert_eq!(
        api.call("GET", "/api/sandbox/paginated?page=4294967295&limit=200", Value::Null).await.status,
        400
    );
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let api = filled().await;
    let page = api.call("GET", "/api/sandbox?limit=1&sort=name", Value::Null).await.json();
    let cursor = page["nextCursor"].as_str().unwrap();
    let answer = api.call("GET", &format!("/api/sandbox?sort=cpu&cursor={cursor}"), Value::Null).await;
    assert_eq!(answer.text("message"), "Invalid cursor");
}

#[tokio::test]
async fn what_becomes_of_them_by_itself_is_a_filter() {
    let api = filled().await;
    api.call("POST", "/api/sandbox/box-0/ttl/10", Value::Null).await;
    api.call("POST", "/api/sandbox/box-1/ttl/60", Value::Null).await;
    api.call("POST", "/api/sandbox/box-2/pause", Value::Null).await;
    let id = api.call("GET", "/api/sandbox/box-3", Value::Null).await.text("id").parse().unwrap();
    api.runner.end(id, "gone");
    api.engine.look(id).await.unwrap();
    for (query, expected) in [
        ("autoDestroyAtBefore=2026-11-22T04:40:00Z", "0"),
        ("autoDestroyAtAfter=2026-11-22T04:40:00Z", "1"),
        ("autoDestroyAtAfter=2026-11-22T04:00:00Z", "01"),
        ("autoDestroyAtBefore=2026-11-22T04:00:00Z", ""),
        ("isRecoverable=true", "3"),
        ("isRecoverable=false", "0124"),
        ("states=paused", "2"),
        ("states=error&states=stopped", "34"),
        ("states=pausing&states=archived&states=restoring&states=snapshotting&states=forking", ""),
    ] {
        assert_eq!(names(&api, &format!("{query}&sort=name&order=asc")).await.concat(), expected, "{query}");
    }
    let bad = api.call("GET", "/api/sandbox?autoDestroyAtAfter=soon", Value::Null).await;
    assert_eq!(bad.text("message"), "autoDestroyAtAfter must be a valid ISO 8601 date string");
}
