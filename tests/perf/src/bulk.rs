//! The row `bulk`: a thousand small files in one call.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::note;
use crate::product::{self, Product};
use crate::report::{Bound, Report};

const FILES: usize = 1_000;
const FILE_BYTES: usize = 1_024;
const ROUNDS: usize = 5;
const BOUNDARY: &str = "perf-bulk-boundary";
const TARGET_MS: f64 = 1000.0;

/// Uploads the files, new and over existing ones in turn, and reports the median.
pub(crate) fn measure(product: &Product, report: &mut Report) -> Result<()> {
    note(&format!("bulk: {FILES} files in one call"));
    let mut client = product.connect()?;
    let id = product::create(&mut client, &json!({}))?;
    let path = format!("/toolbox/{id}/files/bulk-upload");
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let form = form(round);
        for times in &mut times {
            let started = Instant::now();
            let answer = client.send_form(&path, BOUNDARY, &form)?;
            times.push(started.elapsed());
            let stored = answer.get("files").and_then(Value::as_array).map_or(0, Vec::len);
            ensure!(stored == FILES, "{stored} files were stored");
        }
    }
    product::delete(&mut client, &id)?;
    let [fresh, again] = times.map(median_ms);
    report.figure("bulk_1000_new_files", fresh, "ms, median", Some(Bound::Most(TARGET_MS)));
    report.figure("bulk_1000_existing_files", again, "ms, median", Some(Bound::Most(TARGET_MS)));
    Ok(())
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

/// As the SDKs send it: for each file its path, then its contents.
fn form(round: usize) -> Vec<u8> {
    let contents = vec![b'x'; FILE_BYTES];
    let mut form = Vec::new();
    for index in 0..FILES {
        let path = format!("/home/daytona/bulk-{round}/{}/{index}.txt", index % 10);
        form.extend(format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files[{index}].path\"\r\n\r\n{path}\r\n\
             --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files[{index}].file\"; filename=\"{index}.txt\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        ).into_bytes());
        form.extend(&contents);
        form.extend(b"\r\n");
    }
    form.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    form
}
