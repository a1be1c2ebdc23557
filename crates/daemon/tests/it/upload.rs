//! Files arrive whole, in little memory, in every form that SDKs send; or not at all.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use crate::execute::peak_memory_kib;
use crate::harness::{Answer, TestDaemon, encode, eventually, is_root};

const BOUNDARY: &str = "----test-boundary";

/// One field of a form: its name, the file name if it has one, its contents.
pub(crate) type Field<'a> = (&'a str, Option<&'a str>, &'a [u8]);

fn form(fields: &[Field<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file_name, contents) in fields {
        let file_name = file_name.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file_name}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(contents);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

pub(crate) async fn send_form(daemon: &TestDaemon, path: &str, fields: &[Field<'_>]) -> Answer {
    send_raw_form(daemon, path, form(fields)).await
}

async fn send_raw_form(daemon: &TestDaemon, path: &str, body: impl Into<Body>) -> Answer {
    let request =
        Request::post(path).header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    daemon.send(request.body(body.into()).expect("request")).await
}

fn hidden_files(daemon: &TestDaemon) -> usize {
    let entries = std::fs::read_dir(daemon.work()).expect("list").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).count()
}

#[tokio::test]
async fn one_file_arrives_from_a_form_or_a_bare_body() {
    let daemon = TestDaemon::start();
    let contents: Vec<u8> = (0..=255).collect();
    let answer = send_form(&daemon, "/files/upload-v2?path=a/b.bin", &[("file", Some("x"), &contents)]).await;
    let path = daemon.work().join("a/b.bin");
    assert_eq!(answer.json(), json!({"name": "b.bin", "path": path, "type": "file"}));
    assert_eq!(std::fs::read(&path).expect("read"), contents);
    assert_eq!(
        daemon.call("POST", "/files/upload-v2?path=raw+file", "bare").await.json()["name"],
        "raw file"
    );
    assert_eq!(daemon.shell("cat 'raw file'").await, "bare");
    let answer = send_form(
        &daemon,
        "/files/upload?path=old",
        &[("other", None, b"no"), ("file", Some("x"), b"old way")],
    )
    .await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
    assert_eq!(daemon.shell("cat old").await, "old way");
    assert_eq!(daemon.call("POST", "/files/upload-v2?path=empty", "").await.status, 200);
    assert_eq!(daemon.get("/files/info?path=empty").await.json()["size"], 0);
}

#[tokio::test]
async fn many_files_arrive_in_either_order() {
    let daemon = TestDaemon::start();
    let name = "dir/é \"q\" a/b.txt";
    let paths_first: [Field<'_>; 4] = [
        ("files[0].path", None, name.as_bytes()),
        ("files[1].path", None, b"two"),
        ("files[0].file", Some("/full/path"), b"first"),
        ("files[1].file", Some("b%2Ftxt"), b""),
    ];
    let interleaved: [Field<'_>; 5] = [
        ("files[7].path", None, b"seven"),
        ("files[7].file", Some("x"), b"7"),
        ("note", None, b"ignored"),
        ("files[10].path", None, b"ten"),
        ("files[10].file", None, b"10"),
    ];
    let answer = send_form(&daemon, "/files/bulk-upload", &paths_first).await;
    assert_eq!(answer.json(), json!({"files": [{"path": name, "bytes": 5}, {"path": "two", "bytes": 0}]}));
    let answer = send_form(&daemon, "/files/bulk-upload", &interleaved).await;
    assert_eq!(answer.json()["files"].as_array().map(Vec::len), Some(2));
    assert_eq!(daemon.shell("cat dir/*/b.txt seven ten").await, "first710");
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_told() {
    let daemon = TestDaemon::start();
    let answer = send_form(
        &daemon,
        "/files/bulk-upload",
        &[("files[0].file", None, b"x"), ("files[0].path", None, b"p")],
    )
    .await;
    assert!(answer.error(400, "BAD_REQUEST").contains("path first"));
    assert!(answer.json()["errors"][0].as_str().expect("why").contains("files[0].file"), "{}", answer.text());
    let mixed: [Field<'_>; 4] = [
        ("files[0].path", None, b"/dev/null"),
        ("files[0].file", None, b"x"),
        ("files[1].path", None, b"fine"),
        ("files[1].file", None, b"y"),
    ];
    let answer = send_form(&daemon, "/files/bulk-upload", &mixed).await;
    answer.error(400, "INVALID_FILE_PATH");
    assert_eq!(
        answer.json()["files"],
        json!([{"path": "fine", "bytes": 1}]),
        "the others arrive all the same"
    );
    let long = "x".repeat(20_000);
    for fields in [
        vec![],
        vec![("file", None, b"x".as_slice())],
        vec![("files[0].path", None, b"a\0b".as_slice()), ("files[0].file", None, b"x")],
        vec![("files[0].path", None, b"\xff".as_slice()), ("files[0].file", None, b"x")],
        vec![("files[0].path", None, long.as_bytes()), ("files[0].file", None, b"x")],
        vec![("files[0].path", None, b".".as_slice()), ("files[0].file", None, b"x")],
    ] {
        let answer = send_form(&daemon, "/files/bulk-upload", &fields).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(
            answer.json()["errors"].as_array().is_some_and(|errors| !errors.is_empty()),
            "{}",
            answer.text()
        );
    }
    for (path, body) in [
        ("/files/bulk-upload", "no form"),
        ("/files/upload-v2", "no path"),
        ("/files/upload-v2?path=%00", "NUL"),
        ("/files/upload-v2?path=.", "a directory"),
        ("/files/upload-v2?path=/dev/null", "a device"),
    ] {
        let answer = daemon.call("POST", path, body).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
    for body in [
        &b"--"[..],
        b"",
        b"------test-boundary\r\n\r\nno name",
        b"------test-boundary\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf",
    ] {
        let answer = send_raw_form(&daemon, "/files/upload-v2?path=half", Body::from(body)).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert!(!daemon.work().join("half").exists());
    assert_eq!(hidden_files(&daemon), 0);
}

#[tokio::test]
async fn an_upload_of_too_many_files_is_refused() {
    let daemon = TestDaemon::start();
    // Each pair fails and its path is forgotten; files without a path fail, too; and so do paths without a file.
    let pair: [Field<'_>; 2] = [("files[0].path", None, b"."), ("files[0].file", None, b"")];
    let pairs: Vec<Field<'_>> = std::iter::repeat_n(pair, 10_050).flatten().collect();
    let files: Vec<Field<'_>> = vec![("files[0].file", None, b""); 10_050];
    let names: Vec<String> = (0..10_050).map(|index| format!("files[{index}].path")).collect();
    let paths: Vec<Field<'_>> = names.iter().map(|name| (name.as_str(), None, b"x".as_slice())).collect();
    for (fields, failures) in [(pairs, 10_001), (files, 10_001), (paths, 1)] {
        let answer = send_form(&daemon, "/files/bulk-upload", &fields).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let errors = answer.json()["errors"].as_array().expect("errors").clone();
        assert_eq!(errors.len(), failures);
        let last = errors[errors.len() - 1].as_str().expect("why");
        assert!(last.contains("at most 10000 files"), "{last}");
    }
    // As many as are allowed arrive.
    let pairs: Vec<Field<'_>> =
        std::iter::repeat_n([("files[0].path", None, b"same".as_slice()), pair[1]], 10_000)
            .flatten()
            .collect();
    let answer = send_form(&daemon, "/files/bulk-upload", &pairs).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["files"].as_array().map(Vec::len), Some(10_000));
}

#[tokio::test]
async fn paths_together_are_bounded() {
    let daemon = TestDaemon::start();
    let long = "x".repeat(8_000);
    let names: Vec<String> = (0..1_000).map(|index| format!("files[{index}].path")).collect();
    let apart: Vec<Field<'_>> = names.iter().map(|name| (name.as_str(), None, long.as_bytes())).collect();
    let pair: [Field<'_>; 2] = [("files[0].path", None, long.as_bytes()), ("files[0].file", None, b"")];
    let pairs: Vec<Field<'_>> = std::iter::repeat_n(pair, 1_000).flatten().collect();
    for (fields, failures) in [(apart, 1), (pairs, 4 * 1024 * 1024 / 8_000 + 1)] {
        let answer = send_form(&daemon, "/files/bulk-upload", &fields).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let errors = answer.json()["errors"].as_array().expect("errors").clone();
        assert_eq!(errors.len(), failures);
        let last = errors[errors.len() - 1].as_str().expect("why");
        assert!(last.contains("at most 4194304 bytes together"), "{last}");
    }
}

/// A form with one file of `megabytes` that is made while it is sent.
fn large_form(path: &str, megabytes: usize) -> Body {
    let head = form(&[("files[0].path", None, path.as_bytes())]);
    let head = head[..head.len() - BOUNDARY.len() - 6].to_vec();
    let file = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files[0].file\"; filename=\"f\"\r\n\r\n"
    );
    let megabyte = Bytes::from(vec![b'm'; 1024 * 1024]);
    let pieces = [Bytes::from(head), Bytes::from(file)]
        .into_iter()
        .chain(std::iter::repeat_n(megabyte, megabytes))
        .chain([Bytes::from(format!("\r\n--{BOUNDARY}--\r\n"))]);
    Body::from_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}

#[tokio::test]
async fn a_large_file_needs_little_memory_both_ways() {
    let daemon = TestDaemon::start();
    let before = peak_memory_kib(daemon.child.id());
    let started = std::time::Instant::now();
    let answer = send_raw_form(&daemon, "/files/bulk-upload", large_form("big", 300)).await;
    let up = started.elapsed();
    assert_eq!(answer.json()["files"][0]["bytes"], 300 * 1024 * 1024_u64, "{}", answer.text());
    let started = std::time::Instant::now();
    let answer = daemon.get("/files/download?path=big").await;
    println!("300 MiB: up {up:?}, down {:?}", started.elapsed());
    assert_eq!(answer.body.len(), 300 * 1024 * 1024);
    assert!(answer.body.iter().all(|byte| *byte == b'm'));
    let grown = peak_memory_kib(daemon.child.id()) - before;
    println!("memory grew by {grown} KiB");
    assert!(grown < 32 * 1024, "{grown} KiB");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let daemon = TestDaemon::start();
    let mut connection = daemon.connect().await;
    let megabyte = Bytes::from(vec![b'm'; 1024 * 1024]);
    let endless = stream::unfold(0_u32, move |count| {
        let megabyte = megabyte.clone();
        async move {
            if count > 5 {
                std::future::pending::<()>().await;
            }
            Some((Ok::<_, std::io::Error>(megabyte), count + 1))
        }
    });
    let request =
        Request::post("/files/upload-v2?path=cut").body(Body::from_stream(endless)).expect("request");
    let pending = tokio::spawn(async move { connection.send_request(request).await.map(drop) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    pending.abort();
    let _ = pending.await;
    if is_root() {
        let daemon_id = daemon.child.id();
        eventually("the file is closed", || {
            let open = std::fs::read_dir(format!("/proc/{daemon_id}/fd")).expect("fd").flatten();
            !open
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .any(|link| link.starts_with(daemon.work()))
        })
        .await;
    } else {
        println!("skipped: only root may see the descriptors of a process that forbids to be traced");
    }
    eventually("the directory is empty", || std::fs::read_dir(daemon.work()).expect("list").count() == 0)
        .await;
}

#[tokio::test]
async fn a_full_disk_is_a_clear_answer_and_leaves_nothing() {
    if !is_root() {
        println!("skipped: mounting a small disk needs root");
        return;
    }
    let disk = tempfile::tempdir().expect("directory");
    let path = disk.path().to_string_lossy().into_owned();
    let mount = format!("mount -t tmpfs -o size=2m none {path} && exec \"$0\" \"$@\"");
    let daemon = TestDaemon::start_under(&["unshare", "-m", "sh", "-c", &mount], |settings| {
        settings.work_dir = Some(path.clone());
    });
    for _ in 0..2 {
        let answer = send_raw_form(&daemon, "/files/bulk-upload", large_form("big", 100)).await;
        let message = answer.error(413, "DISK_FULL");
        assert!(message.contains("larger disk"), "{message}");
        let raw = Body::from(vec![0; 30 * 1024 * 1024]);
        daemon.call("POST", "/files/upload-v2?path=big", raw).await.error(413, "DISK_FULL");
        assert_eq!(daemon.get("/files").await.json(), json!([]), "nothing is left");
    }
    assert_eq!(daemon.call("POST", "/files/upload-v2?path=small", "fits").await.status, 200);
    let used = daemon
        .shell(&format!(
            "df --output=used {} | tail -1",
            encode(&path).replace("%2F", "/").replace("%2E", ".")
        ))
        .await;
    assert!(used.trim().parse::<u64>().expect("a number") < 100, "{used} KiB are still taken");
}

#[tokio::test]
async fn a_body_that_ends_after_its_form_leaves_the_connection_usable() {
    let daemon = TestDaemon::start();
    let mut connection = daemon.connect().await;
    let fields: [Field<'_>; 2] = [("files[0].path", None, b"late"), ("files[0].file", None, b"x")];
    for path in ["/files/bulk-upload", "/files/bulk-upload", "/files/upload-v2?path=late"] {
        let fields = if path.contains("bulk") { &fields[..] } else { &[("file", None, b"x" as &[u8])] };
        let body = Bytes::from(form(fields));
        // Node's streams send the end of a body some time after the last bytes.
        let pieces = stream::unfold(Some(body), |body| async {
            if body.is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Some((Ok::<_, std::io::Error>(body?), None))
        });
        let request =
            Request::post(path).header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        let request = request.body(Body::from_stream(pieces)).expect("request");
        let answer = crate::harness::send(&mut connection, request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
