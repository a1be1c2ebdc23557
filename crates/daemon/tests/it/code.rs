//! Program texts in three languages, and the charts that Python draws.

use serde_json::{Value, json};

use crate::harness::TestDaemon;

async fn run(daemon: &TestDaemon, body: Value) -> Value {
    let answer = daemon.post("/process/code-run", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Returns whether a command succeeds; says what is skipped when it does not.
async fn has(daemon: &TestDaemon, probe: &str, what: &str) -> bool {
    let (code, _) = daemon.execute(json!({"command": probe})).await;
    if code != 0 {
        println!(
            "skipped: {what} is not installed on this machine; the end-to-end suite covers it in a sandbox"
        );
    }
    code == 0
}

#[tokio::test]
async fn python_runs_with_arguments_environment_and_exit_code() {
    let daemon = TestDaemon::start();
    if !has(&daemon, "python3 --version", "python3").await {
        return;
    }
    for (body, code, expected) in [
        (json!({"code": "print(7*8)", "language": "python"}), 0, "56\n"),
        (json!({"code": "print(7*8)", "language": ""}), 0, "56\n"),
        (
            json!({"code": "import sys\nprint(sys.argv)", "language": "python", "argv": ["a b", "é"]}),
            0,
            "['-', 'a b', 'é']\n",
        ),
        (
            json!({"code": "import os\nprint(os.environ['K'])", "language": "python", "envs": {"K": "v"}}),
            0,
            "v\n",
        ),
        (json!({"code": "import sys\nsys.exit(3)", "language": "python"}), 3, ""),
        (json!({"code": "print('é' * 2); print(__name__)", "language": "python"}), 0, "éé\n__main__\n"),
        (json!({"code": "", "language": "python"}), 0, ""),
    ] {
        let result = run(&daemon, body.clone()).await;
        assert_eq!(
            (result["exitCode"].as_i64(), result["result"].as_str()),
            (Some(code), Some(expected)),
            "{body}"
        );
        assert!(result.get("artifacts").is_none(), "{result}");
    }
    let failed = run(&daemon, json!({"code": "x = (", "language": "python"})).await;
    assert!(
        failed["exitCode"] == 1 && failed["result"].as_str().expect("text").contains("SyntaxError"),
        "{failed}"
    );
    let long = format!("x = '{}'\nprint(len(x))", "y".repeat(2_000_000));
    assert_eq!(run(&daemon, json!({"code": long, "language": "python"})).await["result"], "2000000\n");
}

#[tokio::test]
async fn javascript_runs() {
    let daemon = TestDaemon::start();
    if !has(&daemon, "node --version", "node").await {
        return;
    }
    let code = "console.log(process.argv.slice(2).join('|')); console.error(process.env.K); process.exit(4)";
    let result = run(
        &daemon,
        json!({"code": code, "language": "javascript", "argv": ["a", "b c"], "envs": {"K": "v"}}),
    )
    .await;
    assert_eq!((result["exitCode"].as_i64(), result["result"].as_str()), (Some(4), Some("a|b c\nv\n")));
    let failed = run(&daemon, json!({"code": "let x = ;", "language": "javascript"})).await;
    assert!(
        failed["exitCode"] == 1 && failed["result"].as_str().expect("text").contains("SyntaxError"),
        "{failed}"
    );
}

#[tokio::test]
async fn typescript_runs() {
    let daemon = TestDaemon::start();
    if !has(&daemon, "ts-node --version", "ts-node").await {
        return;
    }
    let code = "const n: number = 6; type T = { a: string }; const t: T = { a: 'b' }; \
                console.log(n * 7, t.a, process.argv.slice(2))";
    let result = run(&daemon, json!({"code": code, "language": "typescript", "argv": ["x"]})).await;
    assert_eq!((result["exitCode"].as_i64(), result["result"].as_str()), (Some(0), Some("42 b [ 'x' ]\n")));
}

#[tokio::test]
async fn typescript_is_handed_to_ts_node_as_a_file() {
    let daemon = TestDaemon::start();
    let bin = daemon.work().join("bin");
    std::fs::create_dir(&bin).expect("directory");
    let fake = "#!/bin/sh\nprintf '%s\\n' \"$@\"; for last; do :; done; cat \"$4\"; exit 9\n";
    std::fs::write(bin.join("ts-node"), fake).expect("write");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("ts-node"), mode).expect("mode");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let body =
        json!({"code": "let a: number = 1", "language": "typescript", "argv": ["x"], "envs": {"PATH": path}});
    let result = run(&daemon, body).await;
    let lines: Vec<_> = result["result"].as_str().expect("text").lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[2], lines[4], lines[5]),
        ("-T", "-O", r#"{"module":"CommonJS"}"#, "x", "let a: number = 1")
    );
    assert_eq!(result["exitCode"], 9);
    assert!(
        lines[3].starts_with("/tmp/daytona-code-") && !std::path::Path::new(lines[3]).exists(),
        "{} is left",
        lines[3]
    );
}

#[tokio::test]
async fn unknown_languages_and_missing_interpreters_are_told() {
    let daemon = TestDaemon::start();
    let answer = daemon.post("/process/code-run", json!({"code": "1", "language": "ruby"})).await;
    assert!(answer.error(400, "BAD_REQUEST").contains("ruby"));
    daemon.post("/process/code-run", json!({"language": "python"})).await.error(400, "INVALID_REQUEST_BODY");
    let body = json!({"code": "1", "language": "javascript", "envs": {"PATH": "/no/such"}});
    let result = run(&daemon, body).await;
    assert!(
        result["exitCode"] == 127 && result["result"].as_str().expect("text").contains("node"),
        "{result}"
    );
}

#[tokio::test]
async fn a_program_that_only_mentions_matplotlib_runs_without_it() {
    let daemon = TestDaemon::start();
    if !has(&daemon, "python3 --version", "python3").await {
        return;
    }
    let code = "# matplotlib\nimport sys\nprint(sys.argv, __name__)\nraise ValueError('x')";
    let result = run(&daemon, json!({"code": code, "language": "python", "argv": ["1"]})).await;
    let text = result["result"].as_str().expect("text");
    assert!(
        text.starts_with("['-', '1'] __main__\n") && text.contains("line 4") && text.contains("ValueError"),
        "{text}"
    );
    assert_eq!(result["exitCode"], 1);
}

const FIGURES: &str = r#"
import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [4, 5, float("nan")], label="one"); plt.axhline(4); plt.plot([1, 2], [7, 8])
plt.title("Line"); plt.xlabel("X"); plt.ylabel("Y"); plt.xticks([1, 2], ["a", "b"]); plt.yscale("log"); plt.show()
plt.scatter([1, 2], [3, 4], label="dots"); plt.scatter([5], [6], c=[1]); plt.colorbar(); plt.show()
plt.bar(["a", "b"], [1.5, 1234567], label="group"); plt.barh([7], [2]); plt.show()
plt.pie([1, 3], labels=["p", "q"], radius=2); plt.show()
plt.boxplot([[1, 2, 3, 4, 100], [5, 6, 7]]); plt.xticks([1, 2], ["A", "B"]); plt.show()
figure, (left, right) = plt.subplots(1, 2)
left.plot([1], [1]); left.set_xlabel("lx"); right.bar(["z"], [1]); right.set_title("R"); figure.suptitle("Two"); figure.show()
plt.imshow([[1, 2]]); plt.show()
plt.show()
print("done")
"#;

#[tokio::test]
async fn figures_become_charts() {
    let daemon = TestDaemon::start();
    if !has(&daemon, "python3 -c 'import matplotlib'", "matplotlib").await {
        return;
    }
    let result = run(&daemon, json!({"code": FIGURES, "language": "python"})).await;
    assert_eq!(result["result"], "done\n", "{result}");
    let charts = result["artifacts"]["charts"].as_array().expect("charts");
    let kinds: Vec<_> = charts.iter().map(|chart| chart["type"].as_str().expect("type")).collect();
    assert_eq!(kinds, ["line", "scatter", "bar", "pie", "box_and_whisker", "composite_chart", "unknown"]);
    assert!(charts.iter().all(|chart| chart["png"].as_str().is_some_and(|png| png.starts_with("iVBOR"))));
    let line = &charts[0];
    let texts = [&line["title"], &line["x_label"], &line["y_label"], &line["x_scale"], &line["y_scale"]];
    assert_eq!(texts, ["Line", "X", "Y", "linear", "log"]);
    assert_eq!((&line["x_ticks"], &line["x_tick_labels"]), (&json!([1.0, 2.0]), &json!(["a", "b"])));
    let marks = |field: &str| line[field].as_array().expect("marks").len();
    assert!(marks("y_ticks") > 0 && marks("y_ticks") == marks("y_tick_labels"), "{line}");
    assert_eq!(
        line["elements"],
        json!([
            {"label": "one", "points": [[1.0, 4.0], [2.0, 5.0]]},
            {"label": "Element 1", "points": [[1.0, 7.0], [2.0, 8.0]]},
        ])
    );
    assert_eq!(
        charts[1]["elements"],
        json!([
            {"label": "dots", "points": [[1.0, 3.0], [2.0, 4.0]]},
            {"label": "Element 1", "points": [[5.0, 6.0]]},
        ])
    );
    assert_eq!(
        charts[2]["elements"],
        json!([
            {"label": "a", "group": "group", "value": "1.5"},
            {"label": "b", "group": "group", "value": "1234567"},
            {"label": "7", "group": "Element 1", "value": "2"},
        ])
    );
    assert_eq!(
        charts[3]["elements"],
        json!([{"label": "p", "angle": 90.0, "radius": 2.0}, {"label": "q", "angle": 270.0, "radius": 2.0}])
    );
    assert_eq!(
        charts[4]["elements"],
        json!([
            {"label": "A", "min": 1.0, "first_quartile": 2.0, "median": 3.0, "third_quartile": 4.0, "max": 4.0,
             "outliers": [100.0]},
            {"label": "B", "min": 5.0, "first_quartile": 5.5, "median": 6.0, "third_quartile": 6.5, "max": 7.0,
             "outliers": []},
        ])
    );
    let (both, parts) = (&charts[5], &charts[5]["elements"]);
    assert_eq!(
        (&both["title"], &parts[0]["type"], &parts[1]["type"]),
        (&json!("Two"), &json!("line"), &json!("bar"))
    );
    assert_eq!((&parts[0]["x_label"], &parts[1]["title"]), (&json!("lx"), &json!("R")));
    assert_eq!((&parts[0]["x_scale"], &parts[1]["x_tick_labels"]), (&json!("linear"), &json!(["z"])));
    assert_eq!(parts[0]["elements"], json!([{"label": "Element 0", "points": [[1.0, 1.0]]}]));
    assert_eq!(parts[1]["elements"], json!([{"label": "z", "group": "Element 0", "value": "1"}]));
    let pictures = [&both["png"], &parts[0]["png"], &parts[1]["png"]];
    assert!(pictures.iter().all(|png| png.as_str().is_some_and(|png| png.starts_with("iVBOR"))));
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2]);
    assert_eq!(charts[6]["elements"], json!([]));
}
