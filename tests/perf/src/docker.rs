//! The row `docker`: what `docker run -d` and `docker exec` of the same image take here, for comparison.
//!
//! The engine is a private one: its own data, socket and namespaces of mounts and networks, so that neither its bridge nor its
//! firewall rules reach this machine. It is ended by the id of its process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::report::{Report, Target};
use crate::sample::Samples;
use crate::{Floors, note};

const ROUNDS: usize = 10;
const COMMANDS_PER_ROUND: usize = 3;
const PATIENCE: Duration = Duration::from_mins(1);
const IMAGE: &str = "perf-image";

/// Measures, or says why it cannot be measured here.
pub(crate) fn measure(archive: &Path, floors: Floors, report: &mut Report) -> Result<()> {
    let programs = ["docker", "dockerd", "unshare"];
    if let Some(missing) = programs.iter().find(|name| find(name).is_none()) {
        report.remark(format!("docker: not compared, `{missing}` is not installed here"));
        return Ok(());
    }
    note("docker: starting an engine of our own");
    let mut engine = match Engine::start() {
        Ok(engine) => engine,
        Err(error) => {
            report.remark(format!("docker: not compared, the engine does not start here: {error:#}"));
            return Ok(());
        }
    };
    let outcome = engine.compare(archive, floors, report);
    engine.stop()?;
    if let Err(error) = outcome {
        report.remark(format!("docker: not compared: {error:#}"));
    }
    Ok(())
}

#[derive(Debug)]
struct Engine {
    process: Child,
    home: PathBuf,
}

impl Engine {
    fn start() -> Result<Self> {
        let home = std::env::temp_dir().join(format!("perf-docker-{}", std::process::id()));
        std::fs::create_dir_all(&home)?;
        let log = std::fs::File::create(home.join("log"))?;
        let path = |name: &str| home.join(name).display().to_string();
        let process = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--",
                "dockerd",
                "--data-root",
                &path("data"),
                "--exec-root",
                &path("run"),
            ])
            .args(["--pidfile", &path("pid"), "--host", &format!("unix://{}", path("socket"))])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut engine = Self { process, home };
        let deadline = Instant::now() + PATIENCE;
        while engine.docker(&["version"]).is_err() {
            let ended = engine.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(engine.home.join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                engine.stop()?;
                bail!("{last}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(engine)
    }

    fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("docker")
            .env("DOCKER_HOST", format!("unix://{}", self.home.join("socket").display()))
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn compare(&self, archive: &Path, floors: Floors, report: &mut Report) -> Result<()> {
        // The archive is a root file system, as `docker export` writes it.
        self.docker(&["import", archive.to_str().context("the archive's path is no text")?, IMAGE])?;
        let (mut run, mut exec) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let id = self.docker(&["run", "-d", IMAGE, "sleep", "infinity"])?;
            run.push(started.elapsed());
            for _ in 0..COMMANDS_PER_ROUND {
                let started = Instant::now();
                ensure!(
                    self.docker(&["exec", &id, "bash", "-c", "echo hi"])? == "hi",
                    "it printed something else"
                );
                exec.push(started.elapsed());
            }
            self.docker(&["rm", "--force", &id])?;
        }
        report.step("docker_run_detached", &run, floors.container, Target::default())?;
        report.step("docker_exec", &exec, floors.spawn, Target::default())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(pidfd) = linux::process::open(i32::try_from(self.process.id())?)? {
            linux::process::terminate(&pidfd)?;
        }
        self.process.wait()?;
        // What the engine had mounted went with its namespace.
        std::fs::remove_dir_all(&self.home).context("remove what the engine kept")
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file())
}
