//! What a started program sees of its parent: nothing but what it was given.

use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;

use super::*;

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn run(script: &str, change: impl FnOnce(&mut Program<'_>)) -> Result<(Exit, String), SpawnError> {
    run_with(script, &[], change)
}

fn run_with(
    script: &str,
    extra: &[BorrowedFd<'_>],
    change: impl FnOnce(&mut Program<'_>),
) -> Result<(Exit, String), SpawnError> {
    let null = std::fs::File::open("/dev/null").expect("/dev/null");
    let mut output = std::fs::File::from(
        rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd"),
    );
    let mut program = Program {
        path: text("/bin/sh"),
        arguments: vec![text("sh"), text("-c"), text(script)],
        environment: vec![text("PATH=/usr/bin:/bin"), text("A=1")],
        directory: None,
        descriptors: vec![null.as_fd(), output.as_fd(), output.as_fd()],
        credentials: None,
        is_terminal: false,
    };
    program.descriptors.extend_from_slice(extra);
    change(&mut program);
    let pid = spawn(&program)?;
    let (_, status) =
        rustix::process::waitpid(Some(pid), WaitOptions::empty()).expect("wait").expect("status");
    output.rewind().expect("rewind");
    let mut printed = String::new();
    output.read_to_string(&mut printed).expect("read");
    Ok((exit_of(status).expect("ended"), printed))
}

#[test]
fn a_program_gets_its_arguments_environment_and_exit_code() {
    let (exit, printed) = run("echo \"$A\"; env | sort; exit 7", |_| {}).expect("spawn");
    assert_eq!(exit, Exit::Code(7));
    assert!(printed.starts_with("1\nA=1\n"), "{printed}");
    assert!(!printed.contains("HOME="), "the parent's environment leaked: {printed}");
}

#[test]
fn a_program_starts_in_its_own_session_with_default_signals() {
    let script =
        "awk '{ print ($1 == $5 && $1 == $6) }' /proc/$$/stat; grep -E 'Sig(Blk|Ign)' /proc/self/status";
    let (_, printed) = run(script, |_| {}).expect("spawn");
    let zero = "0000000000000000";
    assert_eq!(printed, format!("1\nSigBlk:\t{zero}\nSigIgn:\t{zero}\n"));
}

#[test]
fn only_the_given_descriptors_survive() {
    let leaked = std::fs::File::open("/dev/null").expect("open");
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("clear close-on-exec");
    let extra = std::fs::File::open("/proc/version").expect("open");
    let script = "ls /proc/self/fd | tr '\\n' ' '; head -c 5 <&3";
    let (_, printed) = run_with(script, &[extra.as_fd()], |_| {}).expect("spawn");
    assert_eq!(printed, "0 1 2 3 4 Linux", "0 to 3 were given, 4 is the listing itself");
}

#[test]
fn failures_name_the_step() {
    let missing =
        run("true", |program| program.directory = Some(text("/no/such"))).expect_err("no directory");
    assert!(
        matches!(&missing, SpawnError::Directory { directory, .. } if directory == "/no/such"),
        "{missing:?}"
    );
    let missing = run("true", |program| program.path = text("/no/such")).expect_err("no program");
    assert!(
        matches!(&missing, SpawnError::Execute { source, .. } if source.raw_os_error() == Some(libc::ENOENT))
    );
    let long = "x".repeat(200 * 1024);
    let long = run("true", |program| program.arguments.push(text(&long))).expect_err("too long");
    assert!(
        matches!(&long, SpawnError::Execute { source, .. } if source.raw_os_error() == Some(libc::E2BIG))
    );
}

#[test]
fn a_signal_is_told_from_a_code() {
    let (exit, _) = run("kill -TERM $$", |_| {}).expect("spawn");
    assert_eq!(exit, Exit::Signal(libc::SIGTERM));
}

#[test]
fn credentials_are_complete_and_files_are_checked_with_them() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: becoming another user needs root");
        return;
    }
    let become_nobody = |program: &mut Program<'_>| {
        program.credentials = Some(Credentials { user_id: 65534, group_id: 65533, groups: vec![7, 8] });
    };
    let script =
        "id -u; id -g; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status; cat /etc/shadow || echo no";
    let (_, printed) = run(script, become_nobody).expect("spawn");
    let expected = "65534\n65533\n65533 7 8\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\n";
    assert!(printed.starts_with(expected) && printed.ends_with("no\n"), "{printed}");
}

#[test]
fn many_threads_may_start_programs_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let (exit, printed) = run("echo hi", |_| {}).expect("spawn");
                    assert_eq!((exit, printed.as_str()), (Exit::Code(0), "hi\n"));
                }
            });
        }
    });
}

#[test]
fn a_descriptor_is_inherited_once() {
    let file = std::fs::File::open("/dev/null").expect("open");
    let number = std::os::fd::IntoRawFd::into_raw_fd(file);
    let owned = inherit(number).expect("first");
    assert!(inherit(number).is_err(), "it has an owner");
    assert!(inherit(1).is_err() && inherit(-1).is_err() && inherit(9_999).is_err());
    drop(owned);
}

#[test]
fn a_process_that_is_not_the_first_may_not_signal_all() {
    assert!(signal_all(rustix::process::Signal::TERM).is_err());
}
