//! Ways that an image has to make the runtime or the daemon act for it.

use testkit::rootfs;

use super::attack::Arena;
use crate::ground::{Ground, explain, import, order};

/// CVE-2019-5736: a program whose interpreter is the program that starts it. The daemon's is sealed memory.
#[test]
fn a_program_that_is_interpreted_by_its_starter_gets_a_sealed_file() {
    let ground = Ground::new();
    let archive = rootfs::tiny_with(ground.home.path(), "self", |archive| {
        rootfs::entry(archive, "bin/trap", tar::EntryType::Regular, 0o755, 0, b"#!/proc/self/exe\n")?;
        rootfs::entry(
            archive,
            "etc/passwd",
            tar::EntryType::Regular,
            0o644,
            0,
            b"root:x:0:0::/root:/bin/trap\n",
        )
    });
    import(ground.host(), &archive.unwrap(), "self");
    let spec = runner::sandbox::spec::Spec { image: "self".to_owned(), ..order() };
    // Whether the shell of the account is used or not, nothing of the daemon is to be had by it.
    ground.host().create(&spec).map_err(explain).unwrap();
    let before = ground.host().process(&spec.id).unwrap();
    for command in ["trap", "sh -c trap", "while read x; do :; done < /proc/1/exe"] {
        ground.execute(&spec.id, command);
    }
    assert!(!linux::process::wait(&before, 0).unwrap(), "the daemon ended");
    let other = order();
    ground.host().create(&other).map_err(explain).unwrap();
    assert_eq!(ground.execute(&other.id, "echo fine"), (0, "fine".to_owned()));
}

/// CVE-2024-21626: a working directory that is a descriptor which the runtime forgot to close.
#[test]
fn a_working_directory_cannot_be_a_leaked_descriptor() {
    let arena = Arena::new();
    let marker = arena.ground.home.path().join("marker");
    std::fs::write(&marker, "the host's").unwrap();
    let seen = |directory: &str| {
        let command = format!("cd {directory} && cat ../../../../../../../../{}", marker.display());
        arena.execute(&command)
    };
    for number in 0..64 {
        for process in ["self", "1", "thread-self"] {
            let (code, said) = seen(&format!("/proc/{process}/fd/{number}"));
            assert!(code != 0 && !said.contains("the host's"), "{process} {number}: {said}");
        }
    }
    // The same as the directory that the API takes, which the daemon enters.
    for directory in
        ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/1/cwd/..", "/proc/self/root/..", "/../../.."]
    {
        let (_, said) =
            arena.ground.execute_in(&arena.id, Some(directory), &format!("cat ./{}", marker.display()));
        assert!(!said.contains("the host's"), "{directory}: {said}");
    }
}

/// The same, asked for by the image itself.
#[test]
fn an_images_own_working_directory_cannot_be_a_leaked_descriptor() {
    let ground = Ground::new();
    let marker = ground.home.path().join("marker");
    std::fs::write(&marker, "the host's").unwrap();
    let archive = rootfs::tiny_with(ground.home.path(), "leak", |_| Ok(())).unwrap();
    for number in 3..12 {
        let description = runner::image::Description {
            name: format!("leak-{number}"),
            user: String::new(),
            working_directory: format!("/proc/self/fd/{number}"),
            environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        };
        ground.host().images().import(&archive, description).map_err(explain).unwrap();
        let spec = runner::sandbox::spec::Spec { image: format!("leak-{number}"), ..order() };
        // It may refuse to start, or start somewhere inside.
        if ground.host().create(&spec).is_ok() {
            let (_, said) = ground.execute_in(
                &spec.id,
                None,
                &format!("cat ../../../../../../{0}; cat .{0}", marker.display()),
            );
            assert!(!said.contains("the host's"), "{number}: {said}");
        }
        ground.host().destroy(&spec.id).unwrap();
    }
}
