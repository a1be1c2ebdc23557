//! The steps that change files: `RUN` in a sandbox, `COPY`, `ADD` and `WORKDIR` by the host itself.

use std::io;
use std::path::Path;

use dockerfile::evaluation::{Copy, CopySource, Run};
use dockerfile::instruction::Instruction;
use dockerfile::key::Key;
use dockerfile::mount::{Mount, MountKind};
use rustix::fs::{FileType, Timespec};
use types::SandboxId;
use types::resource::bytes_as_text;

use crate::boot::Extra;
use crate::build::copy::{self, Manner};
use crate::build::error::BuildError;
use crate::build::execute::{Build, State, host};
use crate::build::mounted::{self, Files, Mounted};
use crate::build::owner;
use crate::build::place::{Bench, Place};
use crate::build::speak;
use crate::build::view::View;
use crate::build::write::Dress;
use crate::error::RunnerError;
use crate::image::{Config, Image};
use crate::sandbox::spec::Spec;

/// Mounts, and the files that those show that have some.
type Shown = Vec<(Mount, Option<Files>)>;

/// Why a step's output ended early.
enum Interruption {
    Io(io::Error),
    Build(BuildError),
}

impl From<io::Error> for Interruption {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn refused(instruction: &Instruction, reason: impl Into<String>) -> BuildError {
    BuildError::Refused { line: instruction.line, reason: reason.into() }
}

impl Build<'_> {
    /// `RUN`
    pub(super) fn program(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        run: &Run,
    ) -> Result<(), BuildError> {
        let (mounts, keys) = self.files_of(run)?;
        let key = state.key.then_run(run, &keys);
        if self.is_cached(state, instruction, key)? {
            return Ok(());
        }
        let config = Config { working_directory: run.working_directory.clone(), ..Config::default() };
        let image = Image::unnamed(state.layers.clone(), config);
        let missing = if mounts.is_empty() {
            Vec::new()
        } else {
            let view = View::of_layers(self.store(), &state.layers, None).map_err(host("look at layers"))?;
            mounted::missing(&view, &mounts)
        };
        let mut held = Vec::new();
        let organization_id = &self.order.organization_id;
        let started = Place::start(self.host, self.spec(run), &image, |namespace, first_id| {
            let mounted = Mounted::new(self.host, organization_id, &mounts, namespace, first_id)?;
            held = mounted.held;
            Ok(Extra { program: run.arguments.clone(), mounts: mounted.mounts })
        });
        let mut place = started.map_err(|error| match error {
            RunnerError::Boot { reason, .. } => {
                refused(instruction, format!("the step cannot start: {reason}"))
            }
            other => BuildError::Host(other),
        })?;
        self.follow(instruction, &mut place)?;
        let upper = &place.bench.disk().map_err(host("find the step's disk"))?.upper;
        mounted::clear(upper, &missing);
        let made =
            self.store().make_layer(upper, place.first_id).map_err(|error| of_layer(instruction, error))?;
        drop((place, held));
        self.finish(state, instruction, key, made)
    }

    /// Passes on what a step prints until it ends, and says how it failed, if it did. Nothing of it runs afterwards.
    fn follow(&self, instruction: &Instruction, place: &mut Place<'_>) -> Result<(), BuildError> {
        self.log.begin();
        let go_on = || self.watch.check().map_err(Interruption::Build);
        let ended = speak::follow(place.socket(), &go_on, &mut |part| self.log.output(part));
        let memory_kills = place.group().usage().memory_kills;
        place.end();
        let mut tail = self.log.end();
        if memory_kills > 0 {
            let limit = bytes_as_text(self.order.memory_bytes);
            let word = format!("(processes were killed for lack of memory; the limit is {limit})");
            self.log.say(&word);
            tail = format!("{tail}\n{word}");
        }
        match ended {
            Ok(0) => Ok(()),
            Ok(exit_code) => {
                let (line, step) = (instruction.line, instruction.text.clone());
                Err(BuildError::Step { line, step, exit_code, tail })
            }
            Err(Interruption::Build(error)) => Err(error),
            Err(Interruption::Io(error)) => {
                Err(refused(instruction, format!("the step's sandbox ended: {error}; {tail}")))
            }
        }
    }

    fn spec(&self, run: &Run) -> Spec {
        let mut spec = Spec {
            id: SandboxId::random(&*self.host.random).to_string(),
            organization_id: self.order.organization_id.clone(),
            region: String::new(),
            snapshot: String::new(),
            image: self.order.image.clone(),
            user: run.user.clone(),
            environment: run.environment.clone(),
            cpu_thousandths: self.order.cpu_thousandths,
            memory_bytes: self.order.memory_bytes,
            disk_bytes: self.order.disk_bytes,
            block_all: false,
            allow_list: Vec::new(),
            domain_allow_list: Vec::new(),
            name: String::new(),
            linked: None,
            volumes: Vec::new(),
        };
        spec.set_network(&self.order.network);
        spec.block_all |= run.is_offline;
        spec
    }

    /// Finds what the mounts of a step show, and what names it.
    fn files_of(&mut self, run: &Run) -> Result<(Shown, Vec<Key>), BuildError> {
        let (mut mounts, mut keys) = (Vec::new(), Vec::new());
        for (mount, origin) in &run.mounts {
            let files = match (&mount.kind, origin) {
                (MountKind::Bind { .. }, Some(origin)) => {
                    let state = self.origin(origin)?;
                    keys.push(state.key);
                    Some(Files::Layers(state.layers))
                }
                (MountKind::Bind { .. }, None) => {
                    let hashes: Vec<&[u8]> = self.order.contexts.iter().map(String::as_bytes).collect();
                    keys.push(Key::of("context", &hashes));
                    Some(Files::Directory(self.context()?.0.0.clone()))
                }
                _ => None,
            };
            mounts.push((mount.clone(), files));
        }
        Ok((mounts, keys))
    }

    /// `COPY` and `ADD`
    pub(super) fn copy(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        copy: &Copy,
    ) -> Result<(), BuildError> {
        let needs_files = copy.sources.iter().any(|source| matches!(source, CopySource::Path(_)));
        let what = format!("{copy:?}");
        let layers = match &copy.origin {
            Some(origin) => {
                let from = self.origin(origin)?;
                let key = state.key.then("copy from", &[what.as_bytes(), from.key.to_hex().as_bytes()]);
                if self.is_cached(state, instruction, key)? {
                    return Ok(());
                }
                (from.layers, key)
            }
            None if needs_files => return self.copy_context(state, instruction, copy),
            None => {
                let key = state.key.then("copy text", &[what.as_bytes()]);
                if self.is_cached(state, instruction, key)? {
                    return Ok(());
                }
                (Vec::new(), key)
            }
        };
        let (layers, key) = layers;
        let view = View::of_layers(self.store(), &layers, None).map_err(host("look at layers"))?;
        let found = copy::find(copy, &view).map_err(|reason| refused(instruction, reason))?;
        self.write(state, instruction, key, &|build, bench, state| {
            build.copy_found(bench, state, copy, &found, &view)
        })
    }

    fn copy_context(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        copy: &Copy,
    ) -> Result<(), BuildError> {
        self.context()?;
        let Some((gathered, view)) = self.context.take() else { return Err(BuildError::Cancelled) };
        let copied = self.copy_gathered(state, instruction, copy, &view);
        self.context = Some((gathered, view));
        copied
    }

    fn copy_gathered(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        copy: &Copy,
        view: &View,
    ) -> Result<(), BuildError> {
        let found = copy::find(copy, view).map_err(|reason| refused(instruction, reason))?;
        let digest = copy::digest(copy, &found, view, self.watch);
        let digest = digest.map_err(|error| self.failed(instruction, &error))?;
        let key = state.key.then("copy", &[format!("{copy:?}").as_bytes(), &digest]);
        if self.is_cached(state, instruction, key)? {
            return Ok(());
        }
        self.write(state, instruction, key, &|build, bench, state| {
            build.copy_found(bench, state, copy, &found, view)
        })
    }

    fn copy_found(
        &self,
        bench: &Bench,
        state: &State,
        copy: &Copy,
        found: &[copy::Found<'_>],
        view: &View,
    ) -> io::Result<()> {
        let disk = bench.disk().map_err(io::Error::other)?;
        let mut writer = copy::overlay(self.store(), &state.layers, disk).map_err(io::Error::other)?;
        let owner = match &copy.owner {
            Some(owner) => Some(owner::find(writer.root(), owner).map_err(io::Error::other)?),
            // What comes from the caller's machine has owners that mean nothing here.
            None => copy.origin.is_none().then_some((0, 0)),
        };
        copy::copy(&Manner { copy, owner, watch: self.watch, now: self.now() }, found, view, &mut writer)
    }

    fn now(&self) -> Timespec {
        let now = self.host.now();
        let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
        Timespec { tv_sec: seconds, tv_nsec: i64::from(now.subsec_nanos()) }
    }

    /// `WORKDIR`
    pub(super) fn directory(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        path: &str,
        user: &str,
    ) -> Result<(), BuildError> {
        let key = state.key.then("directory", &[path.as_bytes(), user.as_bytes()]);
        if self.is_cached(state, instruction, key)? {
            return Ok(());
        }
        let inner = Path::new(path.trim_start_matches('/'));
        let view = View::of_layers(self.store(), &state.layers, None).map_err(host("look at layers"))?;
        let there = view.look(inner).map_err(|error| self.failed(instruction, &error))?;
        drop(view);
        match there.map(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()) {
            Some(true) => {
                let nothing = crate::image::built::Outcome { layer: None, bytes: 0 };
                self.finish(state, instruction, key, (nothing, self.store().hold([])))
            }
            Some(false) => Err(refused(instruction, format!("`{path}` is a file; choose another directory"))),
            None => self.write(state, instruction, key, &|build, bench, state| {
                let disk = bench.disk().map_err(io::Error::other)?;
                let writer = copy::overlay(build.store(), &state.layers, disk).map_err(io::Error::other)?;
                let owner = owner::find(writer.root(), user).map_err(io::Error::other)?;
                let dress = Dress { owner, mode: 0o755, modified: Some(build.now()) };
                writer.directory(inner, dress).map(drop)
            }),
        }
    }

    /// Makes a layer of what `fill` writes to a disk.
    fn write(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        key: Key,
        fill: &dyn Fn(&Self, &Bench, &State) -> io::Result<()>,
    ) -> Result<(), BuildError> {
        let bench =
            Bench::new(self.host, self.order.disk_bytes, 0).map_err(host("make a disk to copy to"))?;
        fill(self, &bench, state).map_err(|error| self.failed(instruction, &error))?;
        let upper = &bench.disk().map_err(host("find the disk"))?.upper;
        let made = self.store().make_layer(upper, 0).map_err(|error| of_layer(instruction, error))?;
        self.finish(state, instruction, key, made)
    }

    /// Says why files could not be copied; it may be that the build was to end.
    fn failed(&self, instruction: &Instruction, error: &io::Error) -> BuildError {
        if let Err(ended) = self.watch.check() {
            return ended;
        }
        if error.kind() == io::ErrorKind::StorageFull {
            let limit = bytes_as_text(self.order.disk_bytes);
            return refused(instruction, format!("the files do not fit: a step may write {limit}"));
        }
        refused(instruction, linux::errno::chain(error))
    }
}

fn of_layer(instruction: &Instruction, error: RunnerError) -> BuildError {
    match error {
        RunnerError::LayerInvalid { reason, .. } => refused(instruction, reason),
        other => BuildError::Host(other),
    }
}
