//! Tables of names.

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn names_are_completed() {
    let digest = format!("@sha256:{HEX}");
    for (written, whole) in [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12-slim", "docker.io/library/debian:12-slim"),
        ("someone/thing", "docker.io/someone/thing:latest"),
        ("docker.io/debian", "docker.io/library/debian:latest"),
        ("index.docker.io/library/debian:1", "docker.io/library/debian:1"),
        ("registry-1.docker.io/a/b", "docker.io/a/b:latest"),
        ("Docker.IO/a/b", "docker.io/a/b:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/a/b/c_d__e-f---g.h", "127.0.0.1:5000/a/b/c_d__e-f---g.h:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("[::1]/x:2", "[::1]/x:2"),
        ("GHCR.io/x/y", "ghcr.io/x/y:latest"),
        ("registry.example/x:T_a.g-1", "registry.example/x:T_a.g-1"),
    ] {
        assert_eq!(written.parse::<Reference>().unwrap().to_string(), whole, "{written}");
        assert_eq!(whole.parse::<Reference>().unwrap().to_string(), whole, "{whole} stays");
    }
    let pinned: Reference = format!("debian{digest}").parse().unwrap();
    assert_eq!(pinned.to_string(), format!("docker.io/library/debian{digest}"));
    assert_eq!((pinned.tag(), pinned.selector()), (None, format!("sha256:{HEX}")));
    let both: Reference = format!("a.b/c:d{digest}").parse().unwrap();
    assert_eq!((both.tag(), both.selector()), (Some("d"), format!("sha256:{HEX}")));
}

#[test]
fn hostile_names_are_refused() {
    let long = "a".repeat(600);
    for wrong in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "..",
        "a/../b",
        "registry.example/../v2/secret",
        "registry.example/a?x=y",
        "registry.example/a#x",
        "registry.example/%2e%2e/a",
        "user:password@registry.example/a",
        "registry.example:0/a",
        "registry.example:70000/a",
        "registry.example:+80/a",
        "registry.example:080/a",
        "registry.example:/a",
        "-registry.example/a",
        "reg istry.example/a",
        "registry..example/a",
        "https://registry.example/a",
        "registry.example/A",
        "registry.example/a:",
        "registry.example/a:-x",
        "registry.example/a:b:c",
        "registry.example/a:b/c",
        "registry.example/a@sha256:1234",
        "registry.example/a@b@c",
        "registry.example/a.-b",
        "registry.example/a___b",
        "registry.example/.a",
        "registry.example/a\r\nHost: evil",
        "registry.example/a\u{202e}b",
        "[::1/x",
        "[fe80::1%eth0]/x",
        "[::1]x/y",
        "Debian",
        &long,
    ] {
        assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
    }
}
