//! Files are looked at and changed; every mistake has its own answer.

use serde_json::json;

use crate::harness::{TestDaemon, encode};

#[tokio::test]
async fn a_file_goes_through_its_life() {
    let daemon = TestDaemon::start();
    assert_eq!(daemon.call("POST", "/files/folder?path=a/b&mode=0750", "").await.status, 201);
    daemon.shell("printf 'one needle\\ntwo\\n' > 'a/b/é \"q\".txt'; printf x > a/top").await;
    let name = encode("a/b/é \"q\".txt");
    let info = daemon.get(&format!("/files/info?path={name}")).await.json();
    assert_eq!(
        (&info["name"], &info["size"], &info["isDir"]),
        (&json!("é \"q\".txt"), &json!(15), &json!(false))
    );
    for field in ["path", "mode", "modTime", "modifiedAt", "owner", "group", "permissions"] {
        assert!(info[field].is_string(), "no {field} in {info}");
    }
    assert_eq!(daemon.get("/files/info?path=a/b").await.json()["mode"], "drwxr-x---");
    let names = |answer: serde_json::Value| -> Vec<String> {
        answer
            .as_array()
            .expect("array")
            .iter()
            .map(|one| one["name"].as_str().expect("name").to_owned())
            .collect()
    };
    assert_eq!(names(daemon.get("/files").await.json()), ["a"]);
    assert_eq!(names(daemon.get("/files?path=a").await.json()), ["b", "top"]);
    assert_eq!(names(daemon.get("/files?depth=3&path=.").await.json()), ["a", "b", "é \"q\".txt", "top"]);

    let found = daemon.get("/files/find?path=a&pattern=needle").await.json();
    assert_eq!((&found[0]["line"], &found[0]["content"]), (&json!(1), &json!("one needle")));
    let found = daemon.get("/files/search?path=.&pattern=*.txt").await.json();
    assert!(found["files"][0].as_str().expect("path").ends_with("/a/b/é \"q\".txt"), "{found}");

    let body = json!({"files": ["a/b/é \"q\".txt", "missing", "a"], "pattern": "needle", "newValue": "pin"});
    let replaced = daemon.post("/files/replace", body).await.json();
    assert_eq!(replaced[0], json!({"file": "a/b/é \"q\".txt", "success": true}));
    assert!(
        replaced[1]["success"] == false && replaced[1]["error"].as_str().expect("why").contains("not found")
    );
    assert_eq!(replaced[2]["success"], false);
    assert_eq!(daemon.shell("cat a/b/*.txt").await, "one pin\ntwo");

    let to = encode("a/moved");
    assert_eq!(
        daemon.call("POST", &format!("/files/move?source={name}&destination={to}"), "").await.status,
        200
    );
    assert_eq!(daemon.call("POST", "/files/permissions?path=a/moved&mode=640", "").await.status, 200);
    assert_eq!(daemon.get("/files/info?path=a/moved").await.json()["permissions"], "0640");
    assert_eq!(daemon.call("DELETE", "/files?path=a/moved", "").await.status, 204);
    assert_eq!(daemon.call("DELETE", "/files?path=a&recursive=true", "").await.status, 204);
    assert_eq!(daemon.get("/files").await.json(), json!([]));
}

#[tokio::test]
async fn every_mistake_has_its_own_answer() {
    let daemon = TestDaemon::start();
    daemon.shell("mkdir d; echo x > d/f; echo y > g; ln -s loop loop; mkfifo pipe").await;
    let long_name = "n".repeat(256);
    let long_path = "p/".repeat(3_000);
    for (method, path, status, code) in [
        ("GET", "/files?path=missing", 404, "FILE_NOT_FOUND"),
        ("GET", "/files?path=g", 400, "INVALID_FILE_PATH"),
        ("GET", "/files?depth=0", 400, "BAD_REQUEST"),
        ("GET", "/files?depth=-1", 400, "BAD_REQUEST"),
        ("GET", "/files?path=%00", 400, "INVALID_FILE_PATH"),
        ("GET", "/files?path=%ff", 400, "BAD_REQUEST"),
        ("GET", "/files/info", 400, "BAD_REQUEST"),
        ("GET", "/files/info?path=", 400, "BAD_REQUEST"),
        ("GET", "/files/info?path=a%00b", 400, "INVALID_FILE_PATH"),
        ("GET", &format!("/files/info?path={long_name}"), 400, "INVALID_FILE_PATH"),
        ("GET", &format!("/files/info?path={long_path}"), 400, "INVALID_FILE_PATH"),
        ("GET", "/files/info?path=loop/x", 400, "INVALID_FILE_PATH"),
        ("GET", "/files/info?path=g/x", 400, "INVALID_FILE_PATH"),
        ("GET", "/files/download?path=d", 400, "INVALID_FILE_PATH"),
        ("GET", "/files/download?path=pipe", 400, "INVALID_FILE_PATH"),
        ("GET", "/files/download?path=/dev/zero", 400, "INVALID_FILE_PATH"),
        ("GET", "/files/download?path=missing", 404, "FILE_NOT_FOUND"),
        ("GET", "/files/find?path=.", 400, "BAD_REQUEST"),
        ("GET", "/files/find?path=missing&pattern=x", 404, "FILE_NOT_FOUND"),
        ("GET", "/files/search?path=.&pattern=%5B", 400, "BAD_REQUEST"),
        ("POST", "/files/folder?path=x&mode=999", 400, "BAD_REQUEST"),
        ("POST", "/files/folder?mode=755", 400, "BAD_REQUEST"),
        ("POST", "/files/folder?path=g/x", 400, "INVALID_FILE_PATH"),
        ("POST", "/files/folder?path=g", 409, "CONFLICT"),
        ("POST", "/files/move?source=g&destination=d", 409, "CONFLICT"),
        ("POST", "/files/move?source=missing&destination=z", 404, "FILE_NOT_FOUND"),
        ("POST", "/files/move?source=d&destination=d/inside", 400, "INVALID_FILE_PATH"),
        ("POST", "/files/move?source=g", 400, "BAD_REQUEST"),
        ("POST", "/files/permissions?path=missing&mode=600", 404, "FILE_NOT_FOUND"),
        ("POST", "/files/permissions?path=g&mode=rw", 400, "BAD_REQUEST"),
        ("POST", "/files/permissions?path=g&owner=nobody-of-that-name", 400, "BAD_REQUEST"),
        ("POST", "/files/permissions?path=g&group=no-such-group", 400, "BAD_REQUEST"),
        ("DELETE", "/files?path=missing", 404, "FILE_NOT_FOUND"),
        ("DELETE", "/files?path=d", 400, "INVALID_FILE_PATH"),
        ("DELETE", "/files?path=d&recursive=perhaps", 400, "BAD_REQUEST"),
        ("DELETE", "/files?path=/&recursive=true", 400, "INVALID_FILE_PATH"),
        ("DELETE", "/files?path=/usr/..&recursive=true", 400, "INVALID_FILE_PATH"),
        ("DELETE", "/files?recursive=true", 400, "BAD_REQUEST"),
    ] {
        let answer = daemon.call(method, path, "").await;
        let message = answer.error(status, code);
        assert!(message.len() < 400, "{method} {path}: {message}");
    }
    for body in [
        "{}",
        r#"{"files": [], "pattern": "a", "newValue": "b"}"#,
        r#"{"files": ["g"], "pattern": "", "newValue": ""}"#,
    ] {
        assert_eq!(daemon.call("POST", "/files/replace", body).await.status, 400, "{body}");
    }
    assert_eq!(daemon.shell("cat d/f g").await, "x\ny", "nothing was harmed");
}

#[tokio::test]
async fn a_home_has_a_short_name_and_empty_posts_may_say_anything() {
    let daemon = TestDaemon::start_with(|settings| settings.home = settings.work_dir.clone());
    daemon.shell("echo x > f").await;
    assert_eq!(daemon.get("/files/info?path=~/f").await.json()["size"], 2);
    assert_eq!(daemon.get("/files/info?path=~").await.json()["isDir"], true);
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        let request = axum::http::Request::post("/files/folder?path=new&mode=0755")
            .header("content-type", content_type);
        assert_eq!(daemon.send(request.body("".into()).expect("request")).await.status, 201);
    }
}
