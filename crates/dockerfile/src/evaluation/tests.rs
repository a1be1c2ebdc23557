//! What instructions come to, one by one and together.

use super::*;
use crate::plan::Request;
use crate::read::Dockerfile;

fn steps(text: &str) -> Result<(Vec<Step>, Config), Error> {
    let file = Dockerfile::parse(text)?;
    let request = Request {
        arguments: BTreeMap::from([
            ("given".to_owned(), "g".to_owned()),
            ("http_proxy".to_owned(), "p".to_owned()),
        ]),
        target: None,
    };
    let plan = Plan::new(&file, &request)?;
    let number = file.stages.len() - 1;
    let config = Config { environment: vec![("HOME".to_owned(), "/h".to_owned())], ..Config::default() };
    let mut evaluation = Evaluation::new(&plan, number, file.escape, config);
    let instructions = &file.stages[number].instructions;
    let steps = instructions.iter().map(|it| evaluation.step(it)).collect::<Result<_, _>>()?;
    Ok((steps, evaluation.config().clone()))
}

fn run(text: &str) -> Run {
    match steps(text).unwrap().0.pop() {
        Some(Step::Run(run)) => run,
        other => panic!("{other:?}"),
    }
}

fn value<'a>(run: &'a Run, name: &str) -> Option<&'a str> {
    run.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn variables_of_the_image_win_over_arguments_and_scopes_end_with_their_stage() {
    let text = "ARG outer=o\nARG given=x\nFROM a AS one\nARG inner=i\nFROM a\nARG outer\nARG given=y late=$outer-$HOME\n\
        ENV late=env PATH=$PATH:/mine a=1\nENV a=2 b=$a\nRUN x";
    let run = run(text);
    for (name, expected) in [
        ("outer", Some("o")),
        ("given", Some("g")),
        ("late", Some("env")),
        ("inner", None),
        ("a", Some("2")),
        ("b", Some("1")),
        ("http_proxy", Some("p")),
        ("TARGETARCH", None),
    ] {
        assert_eq!(value(&run, name), expected, "{name}");
    }
    assert!(value(&run, "PATH").unwrap().ends_with(":/bin:/mine"));
}

#[test]
fn programs_run_by_the_shell_that_was_chosen() {
    assert_eq!(run("FROM a\nRUN a  b").arguments, ["/bin/sh", "-c", "a  b"]);
    assert_eq!(run("FROM a\nRUN [\"a\", \"$b\"]").arguments, ["a", "$b"]);
    assert_eq!(run("FROM a\nRUN [ -e /x ]").arguments[2], "[ -e /x ]");
    let bash = run("FROM a\nSHELL [\"/bin/bash\", \"-ec\"]\nUSER me\nWORKDIR /a\nWORKDIR b/../c\nRUN a");
    assert_eq!(bash.arguments, ["/bin/bash", "-ec", "a"]);
    assert_eq!((bash.user.as_str(), bash.working_directory.as_str()), ("me", "/a/c"));
    assert_eq!(run("FROM a\nRUN <<EOF\none\ntwo\nEOF").arguments[2], "one\ntwo\n");
    assert_eq!(run("FROM a\nRUN cat <<EOF\none\nEOF").arguments[2], "cat <<EOF\none\nEOF\n");
    let python = run("FROM a\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF").arguments[2].clone();
    assert!(python.starts_with("exec /usr/bin/env python3 /dev/fd/3 3<<'EOF'\n#!/usr"), "{python}");
}

#[test]
fn copies_know_where_to() {
    let text = "FROM a\nWORKDIR /w\nENV d=dir\nCOPY --chown=me:us --chmod=0640 $d/x ../y /abs ./$d/\n\
        COPY <<one <<'two' /t/\n$d\none\n$d\ntwo\nCOPY [\"a b\", \"c\"]\nADD a.tar /";
    let (steps, _) = steps(text).unwrap();
    let copies: Vec<&Copy> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Copy(copy) => Some(copy),
            _ => None,
        })
        .collect();
    let path = |path: &str| CopySource::Path(path.to_owned());
    assert_eq!(copies[0].sources, [path("dir/x"), path("y"), path("abs")]);
    assert_eq!((copies[0].destination.as_str(), copies[0].mode), ("/w/dir", Some(0o640)));
    assert!(copies[0].is_into_directory && !copies[0].unpacks);
    let text = |name: &str, content: &str| CopySource::Text { name: name.into(), content: content.into() };
    assert_eq!(copies[1].sources, [text("one", "dir\n"), text("two", "$d\n")]);
    assert_eq!((copies[2].sources.clone(), copies[2].destination.as_str()), (vec![path("a b")], "/w/c"));
    assert!(!copies[2].is_into_directory && copies[3].unpacks);
}

#[test]
fn an_image_says_what_was_written_last() {
    let text = "FROM a\nCMD old\nENTRYPOINT [\"/e\"]\nCMD [\"c\"]\nLABEL a=1 b=\"x y\"\nEXPOSE 80 53/udp 80\nUSER $HOME\n\
        STOPSIGNAL 9\nVOLUME /v\nHEALTHCHECK NONE\nMAINTAINER me";
    let (_, config) = steps(text).unwrap();
    assert_eq!((config.entrypoint, config.command), (vec!["/e".to_owned()], vec!["c".to_owned()]));
    assert_eq!(config.labels[1], ("b".to_owned(), "x y".to_owned()));
    assert_eq!(config.exposed, ["80/tcp", "53/udp"]);
    assert_eq!(config.user, "/h");
}

#[test]
fn what_is_not_built_is_said_with_its_line_and_a_remedy() {
    for (text, parts) in [
        ("FROM a\nONBUILD RUN x", ["line 2", "ONBUILD"]),
        ("FROM a\n\nFOO x", ["line 3", "FOO"]),
        ("FROM a\nADD https://x/y /", ["line 2", "curl"]),
        ("FROM a\nCOPY x", ["line 2", "where to"]),
        ("FROM a\nCOPY a b c", ["line 2", "`/`"]),
        ("FROM a\nCOPY --chmod=u+x a b", ["line 2", "755"]),
        ("FROM a\nCOPY --parents a b", ["line 2", "--parents"]),
        ("FROM a\nRUN --mount=type=secret,id=x y", ["line 2", "secret"]),
        ("FROM a\nRUN --network=host y", ["line 2", "network"]),
        ("FROM a\nENV x", ["line 2", "name=value"]),
        ("FROM a\nEXPOSE web", ["line 2", "8080"]),
        ("FROM a\nARG 1x", ["line 2", "1x"]),
        ("FROM a\nRUN", ["line 2", "RUN"]),
        ("RUN x", ["line 1", "FROM"]),
        ("# nothing", ["FROM", "begin"]),
    ] {
        let error = steps(text).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
}

#[test]
fn variables_cannot_fill_the_memory() {
    let mut text = format!("FROM a\nENV a={}\n", "x".repeat(60_000));
    for _ in 0..200 {
        text.push_str("ENV a=$a$a\n");
    }
    assert!(steps(&text).is_err());
    let many: Vec<String> = (0..100).map(|n| format!("ENV a{n}={}", "x".repeat(60_000))).collect();
    let text = format!(
        "FROM a
{}",
        many.join(
            "
"
        )
    );
    assert!(steps(&text).is_err());
    assert!(Dockerfile::parse(&"#".repeat(2 << 20)).is_err());
    let begin = format!("FROM a\nENV a={}\n", "x".repeat(100_000));
    for line in ["ENV", "LABEL"] {
        let many: Vec<String> = (0..50_000).map(|n| format!("b{n}=$a")).collect();
        assert!(steps(&format!("{begin}{line} {}", many.join(" "))).is_err());
    }
    assert!(steps(&format!("{begin}COPY {} /x/", "$a ".repeat(100_000))).is_err());
}
