//! `RUN --mount`.

use super::{Files, build, failure, inside};
use crate::ground::Ground;
use crate::life::settled;

#[test]
fn steps_find_what_is_mounted_and_images_do_not() {
    let ground = Ground::new();
    let before = ground.census();
    let files = Files::default().with("h", &[("src/a", "context"), ("one", "file")]);
    let text = "FROM tiny AS made\nRUN mkdir /out; echo stage > /out/x\n\
        FROM tiny\nRUN --mount=target=/m/ctx,source=src --mount=from=made,source=/out,target=/m/stage \
        --mount=source=one,target=/m/file --mount=from=tiny,source=etc,target=/m/image \
        --mount=type=tmpfs,target=/m/memory,size=1m \
        cat /m/ctx/a /m/stage/x /m/file > /seen; head -1 /m/image/passwd >> /seen; \
        echo x > /m/memory/zero; if echo z 2>/dev/null > /m/ctx/z; then exit 1; fi; id -u > /who\n";
    let (built, _) = build(&ground, text, &files);
    let found = inside(&ground, &built, "cat /seen /who; ls -d /m 2>/dev/null || echo none");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[..4], ["contextstage", "fileroot:x:0:0:root:/root:/bin/sh", "0", "none"], "{found}");
    assert!(!found.contains("zero"), "{found}");
    settled(&ground, &before);
}

#[test]
fn a_cache_stays_from_build_to_build_and_with_its_tenant() {
    let ground = Ground::new();
    let before = ground.census();
    let step = |number: u32, extra: &str| {
        format!(
            "FROM tiny\nUSER daytona\nRUN --mount=type=cache,target=/cache,uid=1000{extra} echo {number} >> /cache/n; cat /cache/n > /tmp/n\n"
        )
    };
    for (number, extra, expected) in
        [(1, "", "1"), (2, "", "1\n2"), (3, ",id=other", "3"), (4, "", "1\n2\n4")]
    {
        let (built, _) = build(&ground, &step(number, extra), &Files::default());
        assert_eq!(
            inside(&ground, &built, "cat /tmp/n; ls /cache 2>/dev/null || true"),
            expected,
            "{number}"
        );
    }
    let mut order = super::build_order(&step(5, ""), &Files::default());
    "another".clone_into(&mut order.organization_id);
    let lines = super::Lines::default();
    let built = ground.host().build(&order, &Files::default(), &lines, &runner::build::Cancel::default());
    assert_eq!(inside(&ground, &built.unwrap(), "cat /tmp/n"), "5");
    let said =
        failure(&ground, "FROM tiny\nRUN --mount=from=tiny,source=/none,target=/m true\n", &Files::default());
    assert!(said.contains("none"), "{said}");
    settled(&ground, &before);
}
