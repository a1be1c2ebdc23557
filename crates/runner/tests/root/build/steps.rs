//! `RUN`: stages, variables, users, the cache, and steps that fail.

use std::time::Duration;

use runner::build::Cancel;
use runner::build::error::BuildError;

use super::{Files, Lines, build, build_order, failure, inside, try_build};
use crate::ground::Ground;
use crate::life::settled;

#[test]
fn stages_variables_and_users_are_as_they_were_written() {
    let ground = Ground::new();
    let before = ground.census();
    let text = "ARG base=tiny\nFROM $base AS one\nARG what=thing\nENV name=\"a $what\"\n\
        RUN echo \"$name $what\" > /out; echo said; echo badly >&2\n\
        FROM tiny AS never\nRUN sleep 1000\n\
        FROM one\nWORKDIR /work/deep\nUSER daytona\nWORKDIR mine\n\
        RUN id -u > who; cat /out >> who; echo \"${what:-none}\" >> who\n\
        RUN [\"sh\", \"-c\", \"echo $HOME > exec\"]\n\
        RUN <<EOF\necho one > heredoc\necho two >> heredoc\nEOF\n\
        ENTRYPOINT [\"/bin/sh\"]\nCMD -c true\nLABEL a=b\nEXPOSE 80\n";
    let (built, lines) = build(&ground, text, &Files::default());
    let said = lines.all();
    assert!(said.iter().any(|line| line == "said") && said.iter().any(|line| line == "badly"), "{said:?}");
    assert!(said[0].starts_with("[1/15] FROM $base AS one"), "{said:?}");
    assert_eq!((built.user.as_str(), built.working_directory.as_str()), ("daytona", "/work/deep/mine"));
    assert_eq!(built.entrypoint, ["/bin/sh"]);
    assert_eq!(built.command, ["/bin/sh", "-c", "-c true"]);
    assert!(built.environment.contains(&("name".to_owned(), "a thing".to_owned())));
    assert!(built.size_bytes > 100_000, "{}", built.size_bytes);
    let found =
        inside(&ground, &built, "cat who exec heredoc; ls -ld . .. | grep -c daytona; echo $name; id -u");
    assert_eq!(found, "1000\na thing thing\nnone\n/home/daytona\none\ntwo\n1\na thing\n1000");
    settled(&ground, &before);
}

#[test]
fn what_was_built_is_not_built_again() {
    let ground = Ground::new();
    let files = |content: &str| Files::default().with("h", &[("a", content), ("b", "b")]);
    let text = "FROM tiny\nRUN echo first > /first\nCOPY a /a\nRUN cat /a > /copy\nRUN true\n";
    let (first, lines) = build(&ground, text, &files("1"));
    assert_eq!(lines.cached(), 0);
    let (second, lines) = build(&ground, text, &files("1"));
    assert_eq!((lines.cached(), &second.digest), (4, &first.digest));
    assert_ne!(second.image, first.image);
    // From the file that changed on.
    let (third, lines) = build(&ground, text, &files("2"));
    assert_eq!(lines.cached(), 1, "{:?}", lines.all());
    assert_eq!(inside(&ground, &third, "cat /copy"), "2");
    // A file that no step copies changes nothing.
    let other = Files::default().with("h", &[("a", "1"), ("b", "changed")]);
    assert_eq!(build(&ground, text, &other).1.cached(), 4);
    // A host that is opened again still knows; another tenant does not.
    let ground = ground.reopen();
    assert_eq!(build(&ground, text, &files("1")).1.cached(), 4);
    let mut order = build_order(text, &files("1"));
    "another".clone_into(&mut order.organization_id);
    let lines = Lines::default();
    ground.host().build(&order, &files("1"), &lines, &Cancel::default()).unwrap();
    assert_eq!(lines.cached(), 0);
    // An image goes alone: what the others have stays.
    ground.host().remove_image(&first.image).unwrap();
    assert_eq!(inside(&ground, &second, "cat /copy"), "1");
}

#[test]
fn a_step_that_fails_says_why_and_what_came_before_is_kept() {
    let ground = Ground::new();
    let before = ground.census();
    let text = "FROM tiny\nRUN echo kept > /kept\n\nRUN echo trouble; exit 7\nRUN true\n";
    let (failed, _) = try_build(&ground, text, &Files::default());
    match failed.unwrap_err() {
        BuildError::Step { line, step, exit_code, tail } => {
            assert_eq!((line, step.as_str(), exit_code), (4, "RUN echo trouble; exit 7", 7));
            assert_eq!(tail, "trouble");
        }
        other => panic!("{other:?}"),
    }
    let (_, lines) = build(&ground, "FROM tiny\nRUN echo kept > /kept\nRUN true\n", &Files::default());
    assert_eq!(lines.cached(), 1);
    for (text, parts) in [
        ("FROM none\n", ["image none", "no registry"]),
        ("FROM tiny\nUSER stranger\nRUN true\n", ["line 3", "stranger"]),
        ("FROM tiny\nRUN [\"/nothing\"]\n", ["line 2", "/nothing"]),
        ("FROM tiny\nCOPY none /\n", ["line 2", "build context"]),
        ("FROM tiny\nWORKDIR /etc/passwd\n", ["line 2", "file"]),
        ("FROM tiny\nCOPY --chown=them --from=tiny /bin/sh /x\n", ["line 2", "them"]),
    ] {
        let said = failure(&ground, text, &Files::default());
        assert!(parts.iter().all(|part| said.contains(part)), "{text}: {said}");
    }
    settled(&ground, &before);
}

#[test]
fn a_build_that_is_cancelled_or_takes_too_long_leaves_nothing() {
    let ground = Ground::new();
    let before = ground.census();
    let text = "FROM tiny\nRUN echo begun; sleep 1000\n";
    let (order, lines, cancel) = (build_order(text, &Files::default()), Lines::default(), Cancel::default());
    std::thread::scope(|scope| {
        let building = scope.spawn(|| ground.host().build(&order, &Files::default(), &lines, &cancel));
        while !lines.all().iter().any(|line| line == "begun") {
            assert!(!building.is_finished(), "{:?}", lines.all());
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
        assert!(matches!(building.join().unwrap(), Err(BuildError::Cancelled)));
    });
    let mut order = build_order(text, &Files::default());
    order.timeout = Duration::from_secs(1);
    let late = ground.host().build(&order, &Files::default(), &lines, &Cancel::default());
    assert!(matches!(late, Err(BuildError::TimedOut { seconds: 1 })), "{late:?}");
    assert!(ground.host().images().find(&order.image).unwrap().is_none());
    settled(&ground, &before);
}

#[test]
fn builds_that_do_the_same_at_the_same_time_do_it_once() {
    let ground = Ground::new();
    let text = "FROM tiny\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /chance\nRUN true\n";
    let outcomes: Vec<(usize, String)> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (built, lines) = build(&ground, text, &Files::default());
                    (lines.cached(), built.digest)
                })
            })
            .collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    let worked = outcomes.iter().filter(|(cached, _)| *cached == 0).count();
    assert_eq!(worked, 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|(_, digest)| *digest == outcomes[0].1), "{outcomes:?}");
}

#[test]
fn ten_steps_that_do_nothing() {
    let ground = Ground::new().with_cells(4);
    let mut text = "FROM tiny\n".to_owned();
    for number in 0..9 {
        let step = match number % 3 {
            0 => format!("RUN echo {number} > /{number}\n"),
            1 => format!("COPY a /copied/{number}\n"),
            _ => format!("ENV n{number}={number}\n"),
        };
        text.push_str(&step);
    }
    let files = Files::default().with("h", &[("a", "a")]);
    let began = std::time::Instant::now();
    let (built, lines) = build(&ground, &text, &files);
    let first = began.elapsed();
    let began = std::time::Instant::now();
    assert_eq!(build(&ground, &text, &files).1.cached(), 6);
    // For a person to read: how long it may take is said by `cargo x perf`.
    println!("ten steps took {first:?}, and {:?} from the cache", began.elapsed());
    assert_eq!(lines.cached(), 0);
    assert_eq!(inside(&ground, &built, "cat /0 /3 /6 /copied/1; echo $n8"), "0\n3\n6\na8");
}
