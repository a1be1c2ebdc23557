//! `COPY` and `ADD`.

use tar::EntryType;

use super::{Files, build, failure, inside};
use crate::ground::Ground;
use crate::life::settled;

/// Prints a tree with modes and owners: a busybox that is small has no `stat`.
const LOOK: &str = "cd /t && ls -lnR | grep -v total";

fn look(ground: &Ground, text: &str, files: &Files) -> Vec<String> {
    let (built, _) = build(ground, text, files);
    let said = inside(ground, &built, LOOK);
    // Mode, owner, group and name; the times are the test's own.
    let short = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [mode, _, user, group, _, _, _, _, name @ ..] => {
                format!("{mode} {user}:{group} {}", name.join(" "))
            }
            _ => line.to_owned(),
        }
    };
    said.lines().filter(|line| !line.is_empty()).map(short).collect()
}

#[test]
fn files_come_where_they_were_asked_for() {
    let ground = Ground::new();
    let before = ground.census();
    let files = Files::default()
        .with(
            "one",
            &[
                ("a.txt", "a"),
                ("b.txt", "b"),
                ("c.md", "c"),
                ("skip/x.log", "x"),
                (".dockerignore", "**/*.log\n"),
            ],
        )
        .with("two", &[("d/in/f", "f"), ("d/g", "g")])
        .with_entries("three", |archive| {
            testkit::rootfs::entry(
                archive,
                "d/run",
                EntryType::Regular,
                0o755,
                501,
                b"#!/bin/sh\necho ran\n",
            )?;
            testkit::rootfs::link(archive, "d/link", "g")
        });
    let text = "FROM tiny\nWORKDIR /t\nCOPY *.txt texts/\nCOPY d all\nCOPY --chown=daytona --chmod=600 c.md new/name\n\
        COPY --chown=7:8 skip .\nCOPY a.txt /etc/\nCOPY <<one <<\"two\" words/\n$HOME is home\none\n$HOME\ntwo\n\
        RUN ./all/run > ran; cat words/one words/two /etc/a.txt > seen\n";
    let found = look(&ground, text, &files);
    let expected = [
        ".:",
        "drwxr-xr-x 0:0 all",
        "drwxr-xr-x 1000:1000 new",
        "-rw-r--r-- 0:0 ran",
        "-rw-r--r-- 0:0 seen",
        "drwxr-xr-x 0:0 texts",
        "drwxr-xr-x 0:0 words",
        "./all:",
        "-rw-r--r-- 0:0 g",
        "drwxr-xr-x 0:0 in",
        "lrwxrwxrwx 0:0 link -> g",
        "-rwxr-xr-x 0:0 run",
        "./all/in:",
        "-rw-r--r-- 0:0 f",
        "./new:",
        "-rw------- 1000:1000 name",
        "./texts:",
        "-rw-r--r-- 0:0 a.txt",
        "-rw-r--r-- 0:0 b.txt",
        "./words:",
        "-rw-r--r-- 0:0 one",
        "-rw-r--r-- 0:0 two",
    ];
    assert_eq!(found, expected);
    let (built, _) = build(&ground, text, &files);
    assert_eq!(inside(&ground, &built, "cat /t/ran /t/seen"), "ran\n is home\n$HOME\na");
    settled(&ground, &before);
}

#[test]
fn files_of_stages_keep_what_they_are() {
    let ground = Ground::new();
    let text = "FROM tiny AS one\nRUN mkdir -p /s/sub /t; echo x > /s/sub/x; chmod 4750 /s/sub/x; chmod 1777 /s/sub\n\
        USER daytona\nRUN mkdir /tmp/mine; echo y > /tmp/mine/y\n\
        FROM tiny\nRUN ln -s /real /t; mkdir /real\nCOPY --from=one /s /t/s\nCOPY --from=0 /tmp/mine/y /t/\n\
        COPY --from=tiny --chown=daytona:daytona /etc/passwd /t/\nRUN rm /etc/group\n";
    let found = look(&ground, text, &Files::default());
    let expected = [
        ".:",
        "-rw-r--r-- 1000:1000 passwd",
        "drwxr-xr-x 0:0 s",
        "-rw-r--r-- 1000:1000 y",
        "./s:",
        "drwxrwxrwt 0:0 sub",
        "./s/sub:",
        "-rwsr-x--- 0:0 x",
    ];
    assert_eq!(found, expected);
    let (built, _) = build(&ground, text, &Files::default());
    assert_eq!(inside(&ground, &built, "ls -d /etc/group 2>/dev/null || echo gone"), "gone");
}

#[test]
fn archives_are_unpacked_by_add_alone() {
    let ground = Ground::new();
    let mut inner = tar::Builder::new(Vec::new());
    testkit::rootfs::entry(&mut inner, "dir/", EntryType::Directory, 0o750, 7, b"").unwrap();
    testkit::rootfs::entry(&mut inner, "dir/file", EntryType::Regular, 0o640, 7, b"packed").unwrap();
    let inner = inner.into_inner().unwrap();
    let files = Files::default().with_entries("h", |archive| {
        testkit::rootfs::entry(archive, "a.tar", EntryType::Regular, 0o644, 0, &inner)?;
        testkit::rootfs::entry(archive, "b", EntryType::Regular, 0o644, 0, b"plain")
    });
    let text = "FROM tiny\nADD a.tar /t/one\nCOPY a.tar /t/two/\nADD b /t/three\nADD --chown=daytona a.tar /t/four/\n";
    let found = look(&ground, text, &files);
    let expected = [
        ".:",
        "drwxr-xr-x 1000:1000 four",
        "drwxr-xr-x 0:0 one",
        "-rw-r--r-- 0:0 three",
        "drwxr-xr-x 0:0 two",
        "./four:",
        "drwxr-x--- 1000:1000 dir",
        "./four/dir:",
        "-rw-r----- 1000:1000 file",
        "./one:",
        "drwxr-x--- 7:7 dir",
        "./one/dir:",
        "-rw-r----- 7:7 file",
        "./two:",
        "-rw-r--r-- 0:0 a.tar",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_copied_says_so() {
    let ground = Ground::new();
    let files = Files::default().with("h", &[("a", "a"), ("skip/b", "b"), (".dockerignore", "skip\n")]);
    for (step, part) in [
        ("COPY none /x", "`none` is not in the build context"),
        ("COPY n*ne /x/", "n*ne"),
        ("COPY skip/b /x", ".dockerignore"),
        ("COPY a /etc/passwd/x", "line 2"),
        ("COPY a /bin/sh/", "line 2"),
        ("RUN mkdir /d/\nCOPY a /d/\nRUN rm /d/a; mkdir /d/a\nCOPY a /d/", "a directory is there already"),
    ] {
        let said = failure(&ground, &format!("FROM tiny\n{step}\n"), &files);
        assert!(said.contains(part), "{step}: {said}");
    }
}
