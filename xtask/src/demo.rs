//! `cargo x demo`: from a bare machine to Python in a sandbox, and a server left running for whoever wants more.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::build::{self, Profile};
use crate::http::Client;
use crate::image::{self, Recipe};
use crate::machine;
use crate::process;
use crate::report::{self, Step, milliseconds};
use crate::serving::Serving;

const PROGRAM: &str = "import platform, sys\nprint(f\"Hello from Python {platform.python_version()} on {platform.node()}\")\nprint('the sum of 1..100 is', sum(range(101)))";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let once = process::take_flag(&mut arguments, "--once");
    let port = port(&mut arguments)?;
    let data_dir = data_dir(&mut arguments)?;
    process::refuse_rest("demo", &arguments)?;
    machine::ensure_root("demo")?;
    let product = build::product(Profile::Release)?;
    let image = image::prepare(Recipe::Default, false)?;
    image::import(&image, &product.daytona, &data_dir)?;
    let step = Step::begin("starting the server");
    let mut serving = Serving::start(&product.daytona, &data_dir, port)?;
    step.done();
    show(&serving)?;
    if once {
        let step = Step::begin("stopping the server");
        serving.stop()?;
        step.done();
        report::print("\nthe server has stopped (--once); run `cargo x demo` to keep one");
        return Ok(());
    }
    report::print(&farewell(&serving));
    serving.leave_running();
    Ok(())
}

/// The port that was asked for, else the one that the server itself would choose.
pub(crate) fn port(arguments: &mut Vec<String>) -> Result<u16> {
    let value = process::take_value(arguments, "--port")?;
    value.map_or(Ok(3000), |text| text.parse().with_context(|| format!("--port {text}: not a port number")))
}

/// The folder that was asked for, else one below `target/`.
pub(crate) fn data_dir(arguments: &mut Vec<String>) -> Result<PathBuf> {
    let value = process::take_value(arguments, "--data-dir")?;
    let folder = value.map_or_else(|| process::root().join("target/demo"), PathBuf::from);
    std::path::absolute(&folder).with_context(|| format!("--data-dir {}", folder.display()))
}

/// Makes a sandbox through the public interface, runs Python in it, shows what came out, and deletes it.
fn show(serving: &Serving) -> Result<()> {
    let client = Client::new(&serving.key);
    let api = serving.api_url();
    report::print("\nPOST /api/sandbox");
    let started = Instant::now();
    let sandbox = client.json("POST", &format!("{api}/sandbox"), Some(&json!({})))?;
    let create = started.elapsed();
    let id = text(&sandbox, "id")?.to_owned();
    let shown = use_sandbox(&client, &sandbox, started, create);
    // Deleted whatever happened, so that a failed demo leaves nothing behind.
    let started = Instant::now();
    let deleted = delete(&client, &format!("{api}/sandbox/{id}"));
    let delete = started.elapsed();
    shown?;
    deleted?;
    report::print(&format!("  deleted in {}", milliseconds(delete)));
    Ok(())
}

/// Deletes and waits until it is gone: the server may answer while it is still at work.
fn delete(client: &Client, url: &str) -> Result<()> {
    client.json("DELETE", url, None)?;
    while client.send("GET", url, None)?.status != 404 {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn use_sandbox(client: &Client, sandbox: &Value, started: Instant, create: Duration) -> Result<()> {
    let (id, state) = (text(sandbox, "id")?, text(sandbox, "state")?);
    report::print(&format!("  sandbox {id}: {state} in {}", milliseconds(create)));
    if state != "started" {
        bail!("the sandbox is {state}, not started: {sandbox}");
    }
    let toolbox = format!("{}/{id}", text(sandbox, "toolboxProxyUrl")?);
    let code = json!({"code": PROGRAM, "language": "python"});
    let answer = client.json("POST", &format!("{toolbox}/process/code-run"), Some(&code))?;
    let first_output = started.elapsed();
    if answer.get("exitCode") != Some(&json!(0)) {
        bail!("Python failed: {answer}");
    }
    for line in text(&answer, "result")?.lines() {
        report::print(&format!("  | {line}"));
    }
    let started = Instant::now();
    let command = json!({"command": "echo again"});
    client.json("POST", &format!("{toolbox}/process/execute"), Some(&command))?;
    let exec = started.elapsed();
    report::print(&format!(
        "  create {} · create to Python's first output {} · one more command {}",
        milliseconds(create),
        milliseconds(first_output),
        milliseconds(exec)
    ));
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("the answer lacks `{name}`: {value}"))
}

fn farewell(serving: &Serving) -> String {
    format!(
        r#"
The server keeps running as process {pid}; stop it with `kill {pid}`. Its log: {log}

Use it from Python (pip install daytona) or TypeScript (npm install @daytonaio/sdk); paste first:

  export DAYTONA_API_URL={api}
  export DAYTONA_API_KEY={key}

Python:

  from daytona import Daytona
  sandbox = Daytona().create()
  print(sandbox.process.code_run("print('hello')").result)
  sandbox.delete()

TypeScript:

  import {{ Daytona }} from '@daytonaio/sdk'
  const sandbox = await new Daytona().create()
  console.log((await sandbox.process.codeRun("print('hello')")).result)
  await sandbox.delete()"#,
        pid = serving.pid(),
        log = serving.log.display(),
        api = serving.api_url(),
        key = serving.key,
    )
}
