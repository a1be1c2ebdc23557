//! The rows `daemon`: how large it is, how soon it answers, and what it takes while nobody asks anything.

use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::client::Client;
use crate::machine;
use crate::note;
use crate::product::{self, Product};
use crate::report::{Bound, Report};
use crate::sample::Samples;

const SIZE_TARGET_MB: f64 = 8.0;
const START_TARGET_MS: f64 = 3.0;
const MEMORY_TARGET_KIB: f64 = 3.0 * 1024.0;
/// How long a daemon is left alone before its memory is read.
const QUIET: Duration = Duration::from_secs(2);

/// Measures the program in the file and the one in a sandbox.
pub(crate) fn measure(
    product: &Product,
    program: Option<&Path>,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    match program {
        Some(program) => alone(program, rounds, report)?,
        None => report.remark("daemon: size and start need the program itself, in DAYTONA_DAEMON".to_owned()),
    }
    idle(product, report)
}

/// Its size, and the time from the first call that starts it until it says that it answers.
fn alone(program: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    note(&format!("daemon: {rounds} starts"));
    #[expect(clippy::cast_precision_loss, reason = "millions of bytes")]
    let size = std::fs::metadata(program)?.len() as f64 / 1e6;
    report.figure("daemon_size", size, "MB", Some(Bound::Most(SIZE_TARGET_MB)));
    let mut samples = Samples::default();
    for _ in 0..rounds {
        samples.push(start(program)?);
    }
    let bound = Some(Bound::Most(START_TARGET_MS));
    report.figure("daemon_start", samples.percentile(50)?, "ms, median", bound);
    report.figure("daemon_start_p95", samples.percentile(95)?, "ms", None);
    Ok(())
}

/// Starts a daemon as the runner does and ends it again.
fn start(program: &Path) -> Result<Duration> {
    let socket = std::env::temp_dir().join(format!("perf-daemon-{}", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    let listener = OwnedFd::from(UnixListener::bind(&socket)?);
    let (mut reader, writer) = std::io::pipe()?;
    for descriptor in [listener.as_fd(), writer.as_fd()] {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    }
    let settings = json!({
        "listener_fd": listener.as_raw_fd(), "ready_fd": writer.as_raw_fd(), "sandbox_id": "perf",
        "user": "0:0", "work_dir": "/", "home": "/", "grace_ms": 100,
    });
    let started = Instant::now();
    let child = Command::new(program).arg(settings.to_string()).stdin(Stdio::null()).spawn()?;
    drop((listener, writer));
    let mut first = [0];
    let count = reader.read(&mut first)?;
    let took = started.elapsed();
    end(child)?;
    let _ = std::fs::remove_file(&socket);
    ensure!(count == 1 && first == *b"R", "the daemon did not start");
    Ok(took)
}

fn end(mut child: Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Its memory in a sandbox, before anything was asked of it and after one command.
fn idle(product: &Product, report: &mut Report) -> Result<()> {
    let mut client = product.connect()?;
    let before = machine::daemons(product.pid()?);
    let id = product::create(&mut client, &json!({}))?;
    let read = read(product, &mut client, &id, &before, report);
    product::delete(&mut client, &id)?;
    read
}

fn read(product: &Product, client: &mut Client, id: &str, others: &[i32], report: &mut Report) -> Result<()> {
    let new = machine::daemons(product.pid()?).into_iter().find(|pid| !others.contains(pid));
    let pid = new.context("the new sandbox has no daemon")?;
    std::thread::sleep(QUIET);
    memory(pid, "idle", report)?;
    product::execute(client, id, "true")?;
    std::thread::sleep(QUIET);
    memory(pid, "after_exec", report)
}

fn memory(pid: i32, when: &str, report: &mut Report) -> Result<()> {
    let resident = machine::resident_kib(pid).context("the daemon is gone")?;
    let share = machine::proportional_kib(pid).context("the daemon is gone")?;
    let target = (when == "idle").then_some(Bound::Most(MEMORY_TARGET_KIB));
    report.figure(&format!("daemon_resident_{when}"), resident, "KiB", target);
    report.figure(&format!("daemon_pss_{when}"), share, "KiB", target);
    Ok(())
}
