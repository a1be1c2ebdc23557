//! The SSH server, with `OpenSSH`'s own programs as its clients.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{TestDaemon, eventually, is_root, unique};

mod client;
mod file;
mod forward;
mod terminal;

use client::{Client, errors, output, text, upgrade};

#[test]
fn a_command_has_its_own_outputs_and_its_own_exit_code() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let run = output(&mut client.ssh(&[], "echo out; echo err >&2; exit 7"));
    assert_eq!(run.status.code(), Some(7));
    assert_eq!((text(&run.stdout), errors(&run)), ("out".to_owned(), "err\n".to_owned()));
    // The second connection sees the same host key, or ssh would refuse it.
    assert_eq!(client.run("true"), "");
    let killed = output(&mut client.ssh(&[], "kill -TERM $$"));
    assert_eq!(killed.status.code(), Some(255), "a command that was killed has no code of its own");
    let missing = output(&mut client.ssh(&[], "no-such-command"));
    assert_eq!(missing.status.code(), Some(127));
}

#[test]
fn a_command_finds_the_sandboxs_environment_and_the_clients() {
    let daemon = TestDaemon::start_with(|settings| {
        settings.env.insert("OF_THE_SANDBOX".into(), "one two".into());
    });
    let client = Client::new(&daemon);
    let shown = output(&mut client.ssh(
        &["-o", "SetEnv=OF_THE_CLIENT=three LC_ALL=C", "-o", "SetEnv=NOT-A-NAME=x"],
        "echo \"$OF_THE_SANDBOX,$OF_THE_CLIENT,$LC_ALL,$DAYTONA_SANDBOX_ID,$DAYTONA_EXECUTION_ID\"; pwd; \
         test -n \"$SSH_CONNECTION\" && echo connected",
    ));
    let work = daemon.work();
    let expected = format!("one two,three,C,test-sandbox,\n{}\nconnected", work.display());
    assert_eq!(text(&shown.stdout), expected, "{}", errors(&shown));
    // As the login shell, which reads what is typed from a pipe here.
    let mut shell = client.ssh(&["-T"], "");
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ssh");
    shell
        .stdin
        .take()
        .expect("input")
        .write_all(b"shopt -q login_shell && echo login\nexit 3\n")
        .expect("type");
    let ended = shell.wait_with_output().expect("the end");
    assert_eq!((ended.status.code(), text(&ended.stdout)), (Some(3), "login".to_owned()));
}

#[test]
fn much_data_goes_both_ways_at_once_in_little_memory() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    for options in [
        &["-c", "chacha20-poly1305@openssh.com"][..],
        &["-c", "aes256-gcm@openssh.com", "-o", "RekeyLimit=1M"],
    ] {
        let bytes = 48 * 1024 * 1024;
        let mut echo = client.ssh(options, "cat; echo $PPID >&2; while read -r word rest; do case $word in VmHWM*) echo \"$rest\" >&2;; esac; done < /proc/$PPID/status");
        let mut echo =
            echo.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ssh");
        let mut input = echo.stdin.take().expect("input");
        let writer = std::thread::spawn(move || {
            let mut state = 1_u64;
            let mut piece = vec![0_u8; 1 << 20];
            for _ in 0..bytes / piece.len() {
                pattern(&mut state, &mut piece);
                input.write_all(&piece).expect("type");
            }
        });
        let mut output = echo.stdout.take().expect("output");
        let (mut state, mut expected, mut found) = (1_u64, vec![0_u8; 1 << 20], vec![0_u8; 1 << 20]);
        for _ in 0..bytes / expected.len() {
            pattern(&mut state, &mut expected);
            output.read_exact(&mut found).expect("as much as was typed");
            assert!(found == expected, "{options:?}: what comes back is what went in");
        }
        writer.join().expect("all typed");
        let rest = echo.wait_with_output().expect("the end");
        assert_eq!(rest.status.code(), Some(0), "{}", errors(&rest));
        let words = errors(&rest);
        let peak = words.lines().nth(1).and_then(|line| line.split(' ').next()).expect("its memory");
        let peak_kib: u64 = peak.trim().parse().expect("a number");
        println!("{options:?}: the process of the connection had at most {peak_kib} KiB");
        assert!(peak_kib < 32 * 1024, "{peak_kib} KiB for {bytes} bytes");
    }
}

/// Fills a piece with the next bytes of a sequence that never repeats here (xorshift).
fn pattern(state: &mut u64, piece: &mut [u8]) {
    for chunk in piece.chunks_exact_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        chunk.copy_from_slice(&state.to_le_bytes());
    }
}

#[test]
fn a_program_that_does_not_read_holds_up_nobody_else() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let control = client.path("control");
    let control = control.to_str().expect("UTF-8");
    let mut master = client.ssh(&["-M", "-S", control], &unique("exec sleep 8157@@.1"));
    let mut master = master.stdin(Stdio::piped()).spawn().expect("ssh");
    let mut input = master.stdin.take().expect("input");
    let writer = std::thread::spawn(move || {
        let piece = vec![0; 1 << 20];
        // Until nobody takes it any more: the window is full, and stays so.
        let mut written = 0;
        while written < 64 && input.write_all(&piece).is_ok() {
            written += 1;
        }
    });
    wait_for(|| sleeps("8157@@.1"));
    // Another session of the same connection, again and again while the first one's window fills.
    for _ in 0..20 {
        let answer = output(&mut client.ssh(&["-S", control], "echo here"));
        assert_eq!(text(&answer.stdout), "here", "{}", errors(&answer));
    }
    master.kill().expect("kill");
    master.wait().expect("the end");
    writer.join().expect("the writer");
    wait_for(|| !sleeps("8157@@.1"));
}

#[test]
fn twenty_connections_at_once() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    client.run("true");
    let started: Vec<_> = (0..20)
        .map(|number| {
            let mut ssh = client.ssh(&[], &format!("read -r word; echo {number}-$word"));
            ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ssh")
        })
        .collect();
    for (number, mut ssh) in started.into_iter().enumerate() {
        ssh.stdin.take().expect("input").write_all(b"word\n").expect("type");
        let ended = ssh.wait_with_output().expect("the end");
        assert_eq!(text(&ended.stdout), format!("{number}-word"));
    }
    wait_for(|| servers(&daemon).is_empty());
}

#[test]
fn a_client_that_vanishes_leaves_nothing_but_what_was_meant_to_stay() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    for (options, number) in [(&["-T"][..], 1), (&["-tt"], 2)] {
        let line = format!(
            "n=8158@@.{number}; nohup sleep ${{n}}7 > /dev/null 2>&1 & setsid sleep ${{n}}8 > /dev/null 2>&1 & \
             sleep ${{n}}1 & sleep ${{n}}2"
        );
        let mut ssh = client.ssh(options, &unique(&line)).stdout(Stdio::null()).spawn().expect("ssh");
        for end in ["7", "8", "1", "2"] {
            wait_for(|| sleeps(&format!("8158@@.{number}{end}")));
        }
        ssh.kill().expect("kill");
        assert_eq!(ssh.wait().expect("the end").signal(), Some(9));
        for end in ["1", "2"] {
            wait_for(|| !sleeps(&format!("8158@@.{number}{end}")));
        }
        wait_for(|| servers(&daemon).is_empty());
        for end in ["7", "8"] {
            assert!(sleeps(&format!("8158@@.{number}{end}")), "{number}{end} was to stay");
        }
    }
    // They end with the sandbox.
    drop(daemon);
    for number in ["17", "18", "27", "28"] {
        wait_for(|| !sleeps(&format!("8158@@.{number}")));
    }
}

#[test]
fn what_a_command_leaves_in_the_background_does_not_hang_the_answer() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    assert_eq!(client.run(&unique("sleep 8159@@.1 & echo started")), "started");
    assert!(sleeps("8159@@.1"));
}

#[test]
fn whoever_does_not_speak_ssh_is_sent_away() {
    let daemon = TestDaemon::start();
    let socket = daemon.directory.path().join("daemon.sock");
    let version = b"SSH-2.0-test\r\n";
    let mut junk = vec![0_u8; 4096];
    pattern(&mut 7, &mut junk);
    for said in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 4096],
        junk.clone(),
        [version, junk.as_slice()].concat(),
        // An offer that is cut short, and one without a word in it.
        [&version[..], &[0, 0, 0, 12, 4, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
        // The first message of the protocol is missing.
        [&version[..], &[0, 0, 0, 12, 10, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
        // A length that nobody may send.
        [&version[..], &[0xff; 64]].concat(),
    ] {
        let mut stream = upgrade(&socket);
        // It may be gone before it has heard everything.
        let _ = stream.write_all(&said);
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("timeout");
        let mut heard = Vec::new();
        match stream.read_to_end(&mut heard) {
            Ok(_) => assert!(heard.starts_with(b"SSH-2.0-"), "{heard:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    // One that says nothing and goes.
    drop(upgrade(&socket));
    wait_for(|| servers(&daemon).is_empty());
    assert_eq!(Client::new(&daemon).run("echo well"), "well");
}

#[tokio::test]
async fn a_request_that_asks_for_no_upgrade_is_told_what_to_send() {
    let daemon = TestDaemon::start();
    let message = daemon.get("/ssh").await.error(400, "BAD_REQUEST");
    assert!(message.contains("Upgrade: ssh"), "{message}");
    let limited: Vec<_> = (0..64).map(|_| upgrade(&daemon.directory.path().join("daemon.sock"))).collect();
    let request = axum::http::Request::builder().uri("/ssh").header("host", "daemon");
    let request = request.header("connection", "upgrade").header("upgrade", "ssh");
    let refused = daemon.send(request.body(axum::body::Body::empty()).expect("request")).await;
    refused.error(429, "TOO_MANY_REQUESTS");
    drop(limited);
    eventually("all have ended", || servers(&daemon).is_empty()).await;
}

#[test]
fn everything_is_the_users() {
    if !is_root() {
        println!("skipped: serving another user needs root");
        return;
    }
    let daemon = TestDaemon::start_with(|settings| {
        settings.user = "nobody".into();
        settings.home = settings.work_dir.clone();
        let work = settings.work_dir.clone().expect("set");
        let parent = std::path::Path::new(&work).parent().expect("parent").to_owned();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(parent, mode).expect("let nobody in");
        std::os::unix::fs::chown(&work, Some(65534), Some(65534)).expect("give to nobody");
    });
    let client = Client::new(&daemon);
    let work = daemon.work().display().to_string();
    let shown =
        client.run("id -u; id -g; umask; echo $HOME; echo ~; grep CapEff /proc/self/status | tr -d '\\t'");
    assert_eq!(shown, format!("65534\n65534\n0022\n{work}\n{work}\nCapEff:0000000000000000"));
    let refused = output(&mut client.ssh(&[], "cat /etc/shadow"));
    assert_eq!(refused.status.code(), Some(1));
    // The server's own memory, where the host key is, is closed to the user's other programs.
    let refused = output(&mut client.ssh(&[], "cat /proc/$PPID/environ"));
    assert!(errors(&refused).contains("Permission denied"), "{}", errors(&refused));
    let refused = output(&mut client.ssh(&[], "ls /proc/$PPID/fd"));
    assert!(errors(&refused).contains("Permission denied"), "{}", errors(&refused));
    let batch = client.path("batch");
    std::fs::write(&batch, "put /etc/hostname mine\nget /etc/shadow\n").expect("batch");
    let files =
        output(client.program_for_files("sftp", &["-b", batch.to_str().expect("UTF-8")]).arg("a@127.0.0.1"));
    assert!(errors(&files).contains("Permission denied"), "{}", errors(&files));
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(daemon.work().join("mine")).expect("made"));
    assert_eq!(owner, 65534);
}

/// Returns the processes that serve connections of this daemon.
fn servers(daemon: &TestDaemon) -> Vec<String> {
    let own = daemon.child.id().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let processes = entries.map(|entry| entry.path());
    let mut lines = processes.filter_map(|path| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.to_owned();
        let line = std::fs::read_to_string(path.join("cmdline")).ok()?;
        (parent == own && line.starts_with("daytona-daemon\0")).then_some(line)
    });
    lines.by_ref().collect()
}

/// Returns whether a `sleep` of so many seconds runs. Not whoever only speaks of it, such as the shell that starts it.
fn sleeps(seconds: &str) -> bool {
    let line = format!("sleep\0{}\0", unique(seconds));
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let mut lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|found| found == line.as_bytes())
}

/// Waits until a condition holds.
fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "never");
        std::thread::sleep(Duration::from_millis(10));
    }
}
