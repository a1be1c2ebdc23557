//! The row `density`: many idle sandboxes at once, what each costs, and that nothing stays of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::client::Client;
use crate::machine::{self, Census, Marks};
use crate::note;
use crate::product::{self, Product};
use crate::report::{Bound, Report};
use crate::sample::Samples;

const TARGET_KIB: f64 = 4096.0;
/// How many creations the first and the last are taken from.
const EDGE: usize = 50;
/// How long the server may take to clear up behind its answers, and the kernel to give memory back.
const PATIENCE: Duration = Duration::from_mins(2);

/// Makes `count` sandboxes, looks, and deletes them.
pub(crate) fn measure(product: &Product, count: usize, report: &mut Report) -> Result<()> {
    let mut client = product.connect()?;
    let marks = marks(product, &mut client)?;
    let before = settled(&marks, None)?;
    note(&format!("density: {count} idle sandboxes"));
    let (available, kernel) = (machine::available_kib()?, machine::kernel_kib()?);
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let started = Instant::now();
        match product::create(&mut client, &json!({})) {
            Ok(id) => ids.push(id),
            Err(error) => {
                report.remark(format!("density: sandbox {} was refused: {error:#}", ids.len() + 1));
                break;
            }
        }
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    // Pages that wait for the disk are not what a sandbox costs; they are written within this time.
    rustix::fs::sync();
    std::thread::sleep(Duration::from_secs(5));
    cost(product, &ids, available, &kernel, report)?;
    compare_times(&times, report)?;
    let started = Instant::now();
    for id in &ids {
        product::delete(&mut client, id)?;
    }
    let after = settled(&marks, Some(&before))?;
    report.figure("density_delete_and_clear", started.elapsed().as_secs_f64(), "s for all", None);
    if after != before {
        report.remark(format!("density: LEAK: before {before:?}, afterwards {after:?}"));
    }
    report.figure("density_memory_left_taken", available - machine::available_kib()?, "KiB", None);
    Ok(())
}

fn cost(
    product: &Product,
    ids: &[String],
    available: f64,
    kernel: &[(&'static str, f64)],
    report: &mut Report,
) -> Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let count = ids.len() as f64;
    let each = (available - machine::available_kib()?) / count;
    report.figure("density_sandboxes", count, "sandboxes", None);
    report.figure("density_memory_each", each, "KiB", Some(Bound::Most(TARGET_KIB)));
    let daemons = machine::daemons(product.pid()?);
    let shares: Vec<f64> = daemons.iter().filter_map(|pid| machine::proportional_kib(*pid)).collect();
    report.figure("density_daemon_pss_each", shares.iter().sum::<f64>() / count, "KiB", None);
    report.figure(
        "density_server_pss",
        machine::proportional_kib(product.pid()?).unwrap_or(0.0),
        "KiB",
        None,
    );
    for ((name, before), (_, now)) in kernel.iter().zip(machine::kernel_kib()?) {
        report.figure(&format!("density_each_of_{name}"), (now - before) / count, "KiB", None);
    }
    Ok(())
}

fn compare_times(times: &[f64], report: &mut Report) -> Result<()> {
    let edge = EDGE.min(times.len() / 2);
    let median = |times: &[f64]| {
        let mut samples = Samples::default();
        samples.extend(times.iter().copied());
        samples.percentile(50)
    };
    let first = median(times.get(..edge).unwrap_or_default())?;
    let last = median(times.get(times.len() - edge..).unwrap_or_default())?;
    report.figure("density_create_first", first, "ms, median", None);
    report.figure("density_create_last", last, "ms, median", None);
    report.figure("density_create_last_to_first", last / first, "times", Some(Bound::Most(2.0)));
    Ok(())
}

/// Finds out, by a sandbox of its own, how the objects of this server are named.
fn marks(product: &Product, client: &mut Client) -> Result<Marks> {
    let id = product::create(client, &json!({}))?;
    let index = product::execute(client, &id, "cat /sys/class/net/eth0/iflink")?;
    let link = link_of(index.trim())?;
    let link_prefix = link.split_inclusive('-').next().unwrap_or(&link).to_owned();
    let instance = machine::daemons(product.pid()?).into_iter().find_map(instance_of);
    let instance = instance.context("no daemon is in a control group of this server")?;
    product::delete(client, &id)?;
    let groups = groups(Path::new("/sys/fs/cgroup"), &instance, 2);
    Ok(Marks { home: product.home().to_owned(), server: product.pid()?, groups, link_prefix })
}

/// Returns the name of the control group that holds those of all sandboxes of a server.
fn instance_of(daemon: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{daemon}/cgroup")).ok()?;
    text.split(['/', '\n']).find(|part| part.starts_with("daytona-")).map(str::to_owned)
}

fn link_of(index: &str) -> Result<String> {
    for entry in std::fs::read_dir("/sys/class/net")? {
        let path = entry?.path();
        if std::fs::read_to_string(path.join("ifindex")).is_ok_and(|own| own.trim() == index) {
            return Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    bail!("the host has no link with the index {index}")
}

fn groups(directory: &Path, instance: &str, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() || path.is_symlink() {
            continue;
        }
        if entry.file_name() == instance {
            found.push(path);
        } else if depth > 0 {
            found.extend(groups(&path, instance, depth - 1));
        }
    }
    found
}

/// Waits until nothing changes any more, or until it is as before.
fn settled(marks: &Marks, before: Option<&Census>) -> Result<Census> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = Census::take(marks);
    let mut quiet = 0;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = Census::take(marks);
        quiet = if now == last { quiet + 1 } else { 0 };
        let is_over = before.map_or(quiet >= 6, |before| now == *before);
        if is_over || Instant::now() > deadline {
            return Ok(now);
        }
        last = now;
    }
}
