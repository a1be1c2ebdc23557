//! The row `transfer`: a gibibyte up and down through proxy and daemon, beside the same over plain loopback.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::machine::{self, Watch};
use crate::product::{self, Product};
use crate::report::{Bound, Report};
use crate::{floor, megabytes, note};

/// What is carried.
const BYTES: u64 = 1 << 30;
/// How often; the best counts, because disks and neighbours only ever make it slower.
const ROUNDS: usize = 3;
/// Where it is stored inside.
const FILE: &str = "/home/daytona/large";
/// 500 MB/s where loopback does 900.
const SHARE_OF_LOOPBACK: f64 = 500.0 / 900.0;
/// How much more memory than at rest server and daemon together may take.
const GROWTH_KIB: f64 = 64.0 * 1024.0;
/// Drives the official SDK.
const SCRIPT: &str = include_str!("../sdk/transfer.py");

/// Measures both directions, by bare HTTP and, where `sdk` is a Python that has it, by the official SDK.
pub(crate) fn measure(product: &Product, sdk: Option<&Path>, report: &mut Report) -> Result<()> {
    note("transfer: 1 GiB up and down");
    let mut client = product.connect()?;
    // Enough memory that the sandbox's own limit does not make its kernel write pages out early.
    let id = product::create(&mut client, &json!({ "memory": 4, "disk": 6 }))?;
    let daemon = machine::daemons(product.pid()?);
    let pids = [vec![product.pid()?], daemon].concat();
    let rest: f64 = pids.iter().filter_map(|pid| machine::resident_kib(*pid)).sum();
    let watch = Watch::start(pids.clone());
    let mut best = Best::default();
    for _ in 0..ROUNDS {
        best.loopback = best.loopback.max(floor::loopback(BYTES)?);
        best.disk = best.disk.max(own_disk(product, &id)?);
        let path = format!("/toolbox/{id}/files/upload-v2?path={FILE}");
        let before = processor_s(&pids);
        best.up = best.up.max(timed(|| client.upload(&path, BYTES))?);
        best.up_processor_s.push(processor_s(&pids) - before);
        let before = processor_s(&pids);
        let path = format!("/toolbox/{id}/files/download?path={FILE}");
        best.down = best.down.max(timed(|| {
            let length = client.download(&path)?;
            ensure!(length == BYTES, "{length} bytes came back");
            Ok(())
        })?);
        best.down_processor_s.push(processor_s(&pids) - before);
        product::execute(&mut client, &id, &format!("rm {FILE}"))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of KiB")]
    let growth = watch.stop() as f64 - rest;
    let least = Some(Bound::Least(best.loopback * SHARE_OF_LOOPBACK));
    report.figure("transfer_loopback", best.loopback, "MB/s", None);
    report.figure("transfer_own_disk", best.disk, "MB/s", None);
    report.figure("transfer_upload", best.up, "MB/s", least);
    report.figure("transfer_download", best.down, "MB/s", least);
    report.figure("transfer_upload_processor", least_of(&best.up_processor_s), "s per GiB", None);
    report.figure("transfer_download_processor", least_of(&best.down_processor_s), "s per GiB", None);
    report.figure("transfer_memory_growth", growth, "KiB", Some(Bound::Most(GROWTH_KIB)));
    match sdk {
        Some(python) => by_sdk(product, python, &id, report)?,
        None => report.remark(
            "transfer: not by the SDK, no Python with it was named (--sdk); `cargo x e2e python` makes one"
                .to_owned(),
        ),
    }
    product::delete(&mut client, &id)
}

/// The fastest of each.
#[derive(Debug, Default)]
struct Best {
    loopback: f64,
    disk: f64,
    up: f64,
    down: f64,
    up_processor_s: Vec<f64>,
    down_processor_s: Vec<f64>,
}

fn processor_s(pids: &[i32]) -> f64 {
    pids.iter().filter_map(|pid| machine::processor_s(*pid)).sum()
}

fn least_of(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(megabytes(BYTES) / started.elapsed().as_secs_f64())
}

/// Has the sandbox itself write as much to its disk: the most that an upload can reach, whatever carries it.
fn own_disk(product: &Product, id: &str) -> Result<f64> {
    let mut client = product.connect()?;
    let speed = timed(|| {
        let command = format!("dd if=/dev/zero of={FILE} bs=1M count={}", BYTES >> 20);
        product::execute(&mut client, id, &command).map(drop)
    })?;
    product::execute(&mut client, id, &format!("rm {FILE}"))?;
    Ok(speed)
}

fn by_sdk(product: &Product, python: &Path, id: &str, report: &mut Report) -> Result<()> {
    let (url, key) = product.address();
    let output = Command::new(python)
        .args(["-c", SCRIPT, id, FILE, &BYTES.to_string(), &ROUNDS.to_string()])
        .env("DAYTONA_API_URL", url)
        .env("DAYTONA_API_KEY", key)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", python.display()))?;
    ensure!(output.status.success(), "the SDK's script ended with {}", output.status);
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    for (name, value) in figures.as_object().context("the script printed no figures")? {
        report.figure(&format!("transfer_sdk_{name}"), value.as_f64().unwrap_or(0.0), "MB/s", None);
    }
    Ok(())
}
