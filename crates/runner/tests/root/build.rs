//! Images made of Dockerfiles: what is in them, what is taken from the cache, and what a build can do to the host.
#![cfg(test)]

mod against;
mod files;
mod hostile;
mod kill;
mod mounts;
mod steps;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use runner::build::error::BuildError;
use runner::build::{BuildOrder, Built, Cancel, Log, SourceError, Sources};
use runner::sandbox::spec::Spec;
use tar::{Builder, EntryType};
use types::sandbox::Network;
use types::{SandboxId, SystemRandom};

use crate::ground::{Ground, explain, order};

/// Where the builds of a test get their files from: images of the host alone, and archives in memory.
#[derive(Default)]
pub(crate) struct Files {
    archives: BTreeMap<String, Vec<u8>>,
}

impl Sources for Files {
    fn base(&self, reference: &str, _log: &dyn Log) -> Result<String, SourceError> {
        if reference == "tiny" { Ok("tiny".to_owned()) } else { Err("there is no registry here".into()) }
    }

    fn context(&self, hash: &str) -> Result<Box<dyn Read + Send>, SourceError> {
        let archive = self.archives.get(hash).ok_or("there is no such context")?;
        Ok(Box::new(std::io::Cursor::new(archive.clone())))
    }
}

impl Files {
    /// Adds a context of files.
    pub(crate) fn with(self, hash: &str, files: &[(&str, &str)]) -> Self {
        self.with_entries(hash, |archive| {
            for (path, content) in files {
                testkit::rootfs::entry(archive, path, EntryType::Regular, 0o644, 501, content.as_bytes())?;
            }
            Ok(())
        })
    }

    /// Adds a context of whatever.
    pub(crate) fn with_entries(
        mut self,
        hash: &str,
        fill: impl FnOnce(&mut Builder<Vec<u8>>) -> std::io::Result<()>,
    ) -> Self {
        let mut archive = Builder::new(Vec::new());
        fill(&mut archive).unwrap();
        self.archives.insert(hash.to_owned(), archive.into_inner().unwrap());
        self
    }

    fn hashes(&self) -> Vec<String> {
        self.archives.keys().cloned().collect()
    }
}

/// Keeps what a build says.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

impl Lines {
    /// Returns all lines but the last, which tells the time.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| !line.starts_with("built in")).cloned().collect()
    }

    /// Counts the steps that were taken from the cache.
    pub(crate) fn cached(&self) -> usize {
        self.all().iter().filter(|line| line.contains("] CACHED ")).count()
    }
}

/// Orders a build with a fresh name.
pub(crate) fn build_order(text: &str, files: &Files) -> BuildOrder {
    BuildOrder {
        organization_id: "o".to_owned(),
        image: format!("built/{}", SandboxId::random(&SystemRandom)),
        dockerfile: text.to_owned(),
        contexts: files.hashes(),
        arguments: Vec::new(),
        target: None,
        cpu_thousandths: 1000,
        memory_bytes: 256 << 20,
        disk_bytes: 1 << 30,
        network: Network::default(),
        timeout: Duration::from_mins(5),
    }
}

/// Builds; returns what was said, too.
pub(crate) fn try_build(ground: &Ground, text: &str, files: &Files) -> (Result<Built, BuildError>, Lines) {
    let lines = Lines::default();
    let built = ground.host().build(&build_order(text, files), files, &lines, &Cancel::default());
    (built, lines)
}

pub(crate) fn build(ground: &Ground, text: &str, files: &Files) -> (Built, Lines) {
    let (built, lines) = try_build(ground, text, files);
    let built = built.map_err(|error| format!("{}\n{:?}", runner::error::chain(&error), lines.all()));
    (built.unwrap(), lines)
}

/// Returns why a build fails.
pub(crate) fn failure(ground: &Ground, text: &str, files: &Files) -> String {
    let (built, _) = try_build(ground, text, files);
    runner::error::chain(&built.unwrap_err())
}

/// Runs a command in a sandbox of an image.
pub(crate) fn inside(ground: &Ground, built: &Built, command: &str) -> String {
    let spec = Spec { image: built.image.clone(), ..order() };
    ground.host().create(&spec).map_err(explain).unwrap();
    let (code, said) = ground.execute(&spec.id, command);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    assert_eq!(code, 0, "{said}");
    said
}
