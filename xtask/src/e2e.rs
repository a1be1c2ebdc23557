//! `cargo x e2e`: drives a server with the official SDKs, unmodified, each in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::build::{self, Product, Profile};
use crate::http::Client;
use crate::image::{self, Image, Recipe};
use crate::lanes::{Say, Tally};
use crate::machine::{self, Need};
use crate::process;
use crate::report::{self, Step};
use crate::serving::Serving;
use crate::supply::{self, Registry};

/// A server that answers under an address, and the key for it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    api_url: String,
    api_key: String,
    /// The registry whose certificate it trusts, when it is a server of this run.
    registry: Option<String>,
    /// The certificate of its authority, when it is a server of this run.
    authority: Option<PathBuf>,
}

/// How the server of a run differs from any other: sockets are pinged so often that no case has to wait for it.
const VARIABLES: &[(&str, &str)] = &[
    ("DAYTONA_SERVER_EVENT_PING_INTERVAL", "1"),
    ("OIDC_AUDIENCE", "daytona-e2e"),
    ("OIDC_CLIENT_ID", "daytona-e2e"),
];

/// The official SDK for Go, and how long its proxy may take to say whether it has it.
const GO_MODULE: &str = "github.com/daytonaio/daytona/libs/sdk-go";
const GO_PROXY_WITHIN: Duration = Duration::from_secs(20);

/// The language of an official SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    TypeScript,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let against = process::take_value(&mut arguments, "--against")?;
    let languages = languages(&mut arguments);
    let filter = (!arguments.is_empty()).then(|| arguments.remove(0));
    process::refuse_rest("e2e", &arguments)?;
    let tally = match against {
        Some(url) => suites(&languages, &given(&url)?, filter.as_deref())?,
        None => with_server(&build::product(Profile::Development)?, |target| {
            suites(&languages, target, filter.as_deref())
        })?,
    };
    report::print(&format!("{} passed, {} failed", tally.passed, tally.failed));
    if tally.failed > 0 {
        bail!("{} end-to-end cases failed", tally.failed);
    }
    Ok(())
}

/// Starts a fresh server with an empty data folder, gives it to `work`, and stops it.
pub(crate) fn with_server<T>(product: &Product, work: impl FnOnce(&Target) -> Result<T>) -> Result<T> {
    machine::ensure_root("e2e")?;
    let images = [image::prepare(Recipe::Default, false)?, image::prepare(Recipe::Toolbox, false)?];
    let data_dir = process::root().join(format!("target/e2e/data-{}", std::process::id()));
    let done = serve_from(&data_dir, product, &images, work);
    let log = server_log();
    let _ = fs::copy(data_dir.join("server.log"), &log);
    if done.is_err() {
        report::say(&format!("    the server's log: {}", log.display()));
    }
    // The data is of no use to anybody once its server is gone.
    let _ = fs::remove_dir_all(&data_dir);
    done
}

/// Where the log of the last server is kept.
pub(crate) fn server_log() -> PathBuf {
    process::root().join("target/e2e/server.log")
}

/// Fetches and builds what the suites need and no compiler makes; what is there already is kept.
pub(crate) fn prepare() -> Result<()> {
    pytest(None)?;
    node_test(None)?;
    image::prepare(Recipe::Default, false)?;
    image::prepare(Recipe::Toolbox, false)?;
    Ok(())
}

fn serve_from<T>(
    data_dir: &Path,
    product: &Product,
    images: &[Image],
    work: impl FnOnce(&Target) -> Result<T>,
) -> Result<T> {
    for image in images {
        image::import(image, &product.daytona, data_dir)?;
    }
    let issuer = issuer();
    machine::ensure(&[Need::Registry, Need::Busybox])?;
    let python = PathBuf::from(pytest(None)?.get_program());
    let registry = Registry::start(&python, &data_dir.join("e2e-registry"))?;
    let certificates = format!("{}={}", registry.address, registry.authority.display());
    let own = [
        ("OIDC_ISSUER_BASE_URL", issuer.as_str()),
        ("DAYTONA_SERVER_REGISTRY_CERTIFICATES", certificates.as_str()),
    ];
    let variables = [VARIABLES, &own].concat();
    let mut serving = Serving::start_with(&product.daytona, data_dir, 0, &variables)?;
    let target = Target {
        api_url: serving.api_url(),
        api_key: serving.key.clone(),
        registry: Some(registry.address.clone()),
        authority: Some(data_dir.join("tls-authority.pem")),
    };
    let done = work(&target);
    let swept = sweep(&target);
    serving.stop()?;
    let done = done?;
    swept?;
    Ok(done)
}

/// Returns where the login provider will be that cases of logging in start themselves: at a loopback address of this run
/// alone, so that its port is free whatever else happens on this machine.
fn issuer() -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("http://127.{}.{middle}.{low}:5556", 100 + high % 100)
}

/// Deletes what failed cases left: sandboxes outlive their server, and would stay when its data is gone.
fn sweep(target: &Target) -> Result<()> {
    let client = Client::new(&target.api_key);
    loop {
        let page = client.json("GET", &format!("{}/sandbox?limit=200", target.api_url), None)?;
        let items = page.get("items").and_then(Value::as_array).context("the list of sandboxes")?;
        if items.is_empty() {
            return Ok(());
        }
        for id in items.iter().filter_map(|item| item.get("id").and_then(Value::as_str)) {
            client.json("DELETE", &format!("{}/sandbox/{id}", target.api_url), None)?;
        }
    }
}

/// Runs one suite, its tools being installed when they are not.
pub(crate) fn suite(
    language: Language,
    target: &Target,
    filter: Option<&str>,
    say: Say<'_>,
) -> Result<Tally> {
    say(&format!("==> end to end: {language:?}"));
    let mut command = match language {
        Language::Python => pytest(filter)?,
        Language::TypeScript => node_test(filter)?,
    };
    command.env("DAYTONA_API_URL", &target.api_url).env("DAYTONA_API_KEY", &target.api_key);
    if let Some(registry) = &target.registry {
        command.env("E2E_REGISTRY", registry);
        command.env("E2E_REGISTRY_USER", supply::USER).env("E2E_REGISTRY_PASSWORD", supply::PASSWORD);
    }
    if let Some(authority) = &target.authority {
        command.env("E2E_AUTHORITY", authority);
    }
    let mut tally = Tally::default();
    let status = process::each_line(&mut command, |line| {
        say(&format!("    {line}"));
        match language {
            Language::Python => read_pytest(line, &mut tally),
            Language::TypeScript => read_node(line, &mut tally),
        }
    })?;
    // A suite that broke before it counted anything has failed all the same; so has one that ran nothing unasked.
    // pytest ends with 5 when a filter leaves no case.
    let ran_nothing = tally.passed == 0 && filter.is_none();
    let is_well = status.success() || (filter.is_some() && status.code() == Some(5));
    if tally.failed == 0 && (!is_well || ran_nothing) {
        say(&format!("    the {language:?} suite itself failed"));
        tally.failed = 1;
    }
    Ok(tally)
}

fn suites(languages: &[Language], target: &Target, filter: Option<&str>) -> Result<Tally> {
    let mut sum = Tally::default();
    for language in languages {
        sum.add(suite(*language, target, filter, &report::say)?);
    }
    say_about_go(&report::say);
    Ok(sum)
}

/// Says why the third official SDK is not run: nobody can write cases against what cannot be had.
pub(crate) fn say_about_go(say: Say<'_>) {
    let seconds = GO_PROXY_WITHIN.as_secs().to_string();
    let asked = process::find("go").map(|go| {
        let mut command = Command::new("timeout");
        command.arg(seconds).arg(go).args(["list", "-m", &format!("{GO_MODULE}@latest")]);
        // Outside of every module, so that nothing but the question is asked.
        command.current_dir(std::env::temp_dir()).env("GO111MODULE", "on").env("GOFLAGS", "-mod=mod");
        let mut last = String::new();
        let ended = process::each_line(&mut command, |line| line.clone_into(&mut last));
        (ended.is_ok_and(|status| status.success()), last)
    });
    let why = match asked {
        None => "there is no `go` on this machine, and no case is written for it".to_owned(),
        Some((false, said)) => format!("the module proxy does not serve {GO_MODULE} ({})", said.trim()),
        Some((true, version)) => format!("{version} can be had here, and no case is written for it yet"),
    };
    say(&format!("go: not run: {why}"));
}

fn languages(arguments: &mut Vec<String>) -> Vec<Language> {
    let python = process::take_flag(arguments, "python");
    let typescript = process::take_flag(arguments, "typescript");
    match (python, typescript) {
        (true, false) => vec![Language::Python],
        (false, true) => vec![Language::TypeScript],
        _ => vec![Language::Python, Language::TypeScript],
    }
}

fn given(url: &str) -> Result<Target> {
    let key = std::env::var_os("DAYTONA_API_KEY").context("`--against` needs a key in DAYTONA_API_KEY")?;
    let api_key = key.to_str().context("DAYTONA_API_KEY is not text")?.to_owned();
    Ok(Target { api_url: url.trim_end_matches('/').to_owned(), api_key, registry: None, authority: None })
}

fn pytest(filter: Option<&str>) -> Result<Command> {
    // `ssh` is what some cases reach sandboxes with.
    machine::ensure(&[Need::Python, Need::Ssh])?;
    let environment = process::root().join("target/e2e/python");
    let list = process::root().join("tests/e2e/python/requirements.txt");
    let pip = environment.join("bin/pip");
    once(&environment.join("installed"), &list, || {
        process::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        process::output(Command::new(pip).args(["install", "--quiet", "--requirement"]).arg(&list))
    })?;
    let mut command = Command::new(environment.join("bin/python"));
    command.args(["-m", "pytest", "-ra", "--color=no", "-p", "no:cacheprovider"]);
    command.current_dir(process::root().join("tests/e2e/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    match filter {
        Some(filter) => command.args(["-k", filter]),
        // Two at a time, a file as a whole and in its order: cases of one file may share a sandbox.
        None => command.args(["--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder"]),
    };
    Ok(command)
}

fn node_test(filter: Option<&str>) -> Result<Command> {
    machine::ensure(&[Need::Node, Need::Browser])?;
    let folder = process::root().join("tests/e2e/typescript");
    once(&folder.join("node_modules/.installed"), &folder.join("package-lock.json"), || {
        process::output(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))
    })?;
    let mut command = Command::new("node");
    // One file at a time: each makes sandboxes of a gibibyte, and the machine may be small.
    command.args(["--test", "--test-reporter=spec"]).current_dir(&folder);
    if let Some(filter) = filter {
        command.arg(format!("--test-name-pattern={filter}"));
    }
    command.args(test_files(&folder)?);
    Ok(command)
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Does `install` unless `mark` says that it was done for the same `list`.
fn once(mark: &Path, list: &Path, install: impl FnOnce() -> Result<String>) -> Result<()> {
    let wanted = fs::read_to_string(list).with_context(|| format!("reading {}", list.display()))?;
    if fs::read_to_string(mark).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    let step = Step::begin(&format!("installing what {} lists", list.display()));
    install()?;
    fs::write(mark, wanted)?;
    step.done();
    Ok(())
}

/// Reads the last line of pytest: `== 1 failed, 20 passed, 1 skipped in 3.21s ==`.
fn read_pytest(line: &str, tally: &mut Tally) {
    let Some(text) = line.strip_prefix("==").and_then(|rest| rest.strip_suffix("==")) else { return };
    if !text.contains(" in ") {
        return;
    }
    for part in text.trim_matches(['=', ' ']).split([',']) {
        let mut words = part.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
        match words.next() {
            Some("passed") => tally.passed += number,
            Some("failed" | "error" | "errors") => tally.failed += number,
            _ => {}
        }
    }
}

/// Reads the summary of node's test runner: `ℹ pass 20` or `# pass 20`.
fn read_node(line: &str, tally: &mut Tally) {
    let mut words = line.split_whitespace();
    if !matches!(words.next(), Some("ℹ" | "#")) {
        return;
    }
    match (words.next(), words.next().and_then(|word| word.parse::<u64>().ok()), words.next()) {
        (Some("pass"), Some(number), None) => tally.passed += number,
        (Some("fail" | "cancelled"), Some(number), None) => tally.failed += number,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_pytest_is_read() {
        let mut tally = Tally::default();
        read_pytest("=== 2 failed, 20 passed, 1 skipped, 1 error in 3.21s (0:00:03) ===", &mut tally);
        read_pytest("=== short test summary info ===", &mut tally);
        assert_eq!(tally, Tally { passed: 20, failed: 3 });
    }

    #[test]
    fn the_summary_of_node_is_read() {
        let mut tally = Tally::default();
        for line in ["ℹ tests 5", "ℹ pass 3", "ℹ fail 1", "ℹ cancelled 1", "✔ pass 9 things (3ms)"]
        {
            read_node(line, &mut tally);
        }
        assert_eq!(tally, Tally { passed: 3, failed: 2 });
    }
}
