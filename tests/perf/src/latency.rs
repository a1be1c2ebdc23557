//! The rows `create`, `exec` and `delete`: one sandbox at a time, in turns with the floors.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::client::Client;
use crate::product::{self, Product};
use crate::report::{Report, Target};
use crate::sample::Samples;
use crate::{Selection, Topic, floor, note};

/// How many commands run in one sandbox for each round of the rest.
const COMMANDS_PER_ROUND: usize = 4;
/// In turns, so that a slow minute of the machine slows both.
const TURNS: usize = 4;

/// Everything that the rounds measure.
#[derive(Debug, Default)]
struct Measured {
    floor_container: Samples,
    floor_spawn: Samples,
    floor_spawn_bash: Samples,
    create_started: Samples,
    create_first_output: Samples,
    first_exec: Samples,
    exec: Samples,
    round_trip: Samples,
    delete: Samples,
}

/// Measures and reports; the floors come first in the table.
pub(crate) fn measure(
    product: &Product,
    rounds: usize,
    selection: &Selection,
    report: &mut Report,
) -> Result<()> {
    let layer = product.layer()?;
    let mut client = product.connect()?;
    let mut measured = Measured::default();
    for turn in 0..TURNS {
        note(&format!("create, exec, delete: turn {} of {TURNS}", turn + 1));
        let rounds = rounds.div_ceil(TURNS);
        measured.floor_container.extend(floor::containers(&layer, rounds)?);
        measured.floor_spawn.extend(floor::spawns("/bin/sh", rounds * COMMANDS_PER_ROUND)?);
        if std::path::Path::new("/bin/bash").exists() {
            measured.floor_spawn_bash.extend(floor::spawns("/bin/bash", rounds * COMMANDS_PER_ROUND)?);
        }
        // One for warmth: the first request of a connection pays for it.
        round(&mut client, &mut Measured::default())?;
        for _ in 0..rounds {
            round(&mut client, &mut measured)?;
        }
    }
    measured.report(selection, report)
}

fn round(client: &mut Client, measured: &mut Measured) -> Result<()> {
    let started = Instant::now();
    let id = product::create(client, &json!({}))?;
    let created = Instant::now();
    measured.create_started.push(created - started);
    say_hello(client, &id)?;
    measured.first_exec.push(created.elapsed());
    measured.create_first_output.push(started.elapsed());
    for _ in 0..COMMANDS_PER_ROUND {
        let started = Instant::now();
        say_hello(client, &id)?;
        measured.exec.push(started.elapsed());
    }
    for _ in 0..COMMANDS_PER_ROUND {
        let started = Instant::now();
        client.send("GET", &format!("/toolbox/{id}/version"), &json!({}))?;
        measured.round_trip.push(started.elapsed());
    }
    let started = Instant::now();
    product::delete(client, &id)?;
    measured.delete.push(started.elapsed());
    Ok(())
}

fn say_hello(client: &mut Client, id: &str) -> Result<()> {
    let output = product::execute(client, id, "echo hi")?;
    ensure!(output == "hi\n", "it printed something else: {output:?}");
    Ok(())
}

impl Measured {
    fn report(&self, selection: &Selection, report: &mut Report) -> Result<()> {
        let container = self.floor_container.percentile(50)?;
        let spawn = self.floor_spawn.percentile(50)?;
        let most = |p50, p99| Target { p50, p99 };
        report.step("floor_container", &self.floor_container, container, Target::default())?;
        report.step("floor_spawn", &self.floor_spawn, spawn, Target::default())?;
        if self.floor_spawn_bash.count() > 0 {
            report.step("floor_spawn_bash", &self.floor_spawn_bash, spawn, Target::default())?;
        }
        if selection.has(Topic::Create) {
            report.step("create_started", &self.create_started, container, most(Some(3.0), Some(8.0)))?;
            report.step(
                "create_first_output",
                &self.create_first_output,
                container,
                most(Some(3.5), None),
            )?;
            report.step("first_exec", &self.first_exec, spawn, Target::default())?;
        }
        if selection.has(Topic::Exec) {
            report.step("exec", &self.exec, spawn, most(Some(2.0), None))?;
            report.step("toolbox_round_trip", &self.round_trip, spawn, Target::default())?;
        }
        if selection.has(Topic::Delete) {
            report.step("delete", &self.delete, container, most(Some(1.0), None))?;
        }
        Ok(())
    }
}
