//! Does what a plan says, stage by stage and step by step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use dockerfile::Dockerfile;
use dockerfile::config::Config;
use dockerfile::evaluation::{Evaluation, Step};
use dockerfile::instruction::Instruction;
use dockerfile::key::Key;
use dockerfile::plan::{Origin, Plan};
use fs_err as fs;

use crate::build::context;
use crate::build::error::BuildError;
use crate::build::log::Teller;
use crate::build::view::View;
use crate::build::watch::Watch;
use crate::build::{BuildOrder, Sources};
use crate::error::RunnerError;
use crate::host::Host;
use crate::image::built::Outcome;
use crate::image::{Held, Store};

/// The kernel stacks 500.
const MOST_LAYERS: usize = 400;

/// What a stage has come to.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Topmost first.
    pub(super) layers: Vec<String>,
    pub(super) key: Key,
    pub(super) config: Config,
    /// What the layers hold.
    pub(super) bytes: u64,
}

/// One build.
pub(super) struct Build<'a> {
    pub(super) host: &'a Host,
    pub(super) order: &'a BuildOrder,
    pub(super) sources: &'a dyn Sources,
    pub(super) log: &'a Teller<'a>,
    pub(super) watch: &'a Watch<'a>,
    file: &'a Dockerfile,
    plan: &'a Plan,
    stages: BTreeMap<usize, State>,
    images: BTreeMap<String, State>,
    pub(super) context: Option<(Gathered, View)>,
    /// Steps that were done, and are noted at the end.
    pub(super) done: Vec<(String, Outcome)>,
    /// Layers that must stay until an image has them.
    held: Vec<Held>,
    number: usize,
    total: usize,
}

/// A directory with the contexts; it goes with this, or at the next start.
pub(super) struct Gathered(pub(super) PathBuf);

impl Drop for Gathered {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl<'a> Build<'a> {
    pub(super) fn new(
        (host, order): (&'a Host, &'a BuildOrder),
        sources: &'a dyn Sources,
        (log, watch): (&'a Teller<'a>, &'a Watch<'a>),
        (file, plan): (&'a Dockerfile, &'a Plan),
    ) -> Self {
        let stages = plan.order.iter().filter_map(|number| file.stages.get(*number));
        let total = stages.map(|stage| stage.instructions.len() + 1).sum();
        Self {
            host,
            order,
            sources,
            log,
            watch,
            file,
            plan,
            stages: BTreeMap::new(),
            images: BTreeMap::new(),
            context: None,
            done: Vec::new(),
            held: Vec::new(),
            number: 0,
            total,
        }
    }

    pub(super) fn store(&self) -> &'a Store {
        &self.host.ground.images
    }

    /// Builds all stages; returns what the last comes to.
    pub(super) fn run(&mut self) -> Result<State, BuildError> {
        let mut last = None;
        for number in &self.plan.order {
            let state = self.stage(*number)?;
            self.stages.insert(*number, state.clone());
            last = Some(state);
        }
        last.ok_or(BuildError::Dockerfile(dockerfile::Error::NoStage))
    }

    fn stage(&mut self, number: usize) -> Result<State, BuildError> {
        let file = self.file;
        let written = file.stages.get(number).ok_or(dockerfile::Error::NoStage)?;
        self.head(&written.text, false);
        let origin = self.plan.origins.get(number).cloned().unwrap_or(Origin::Scratch);
        let mut state = self.origin(&origin)?;
        let plan = self.plan;
        let mut evaluation = Evaluation::new(plan, number, file.escape, state.config.clone());
        for instruction in &written.instructions {
            self.watch.check()?;
            match evaluation.step(instruction)? {
                Step::Settled => self.head(&instruction.text, false),
                Step::Run(run) => self.program(&mut state, instruction, &run)?,
                Step::Copy(copy) => self.copy(&mut state, instruction, &copy)?,
                Step::Directory(path) => {
                    let user = evaluation.config().user.clone();
                    self.directory(&mut state, instruction, &path, &user)?;
                }
            }
        }
        state.config = evaluation.config().clone();
        Ok(state)
    }

    /// Says which step begins.
    fn head(&mut self, text: &str, is_cached: bool) {
        self.number += 1;
        let cached = if is_cached { "CACHED " } else { "" };
        self.log.say(&format!("[{}/{}] {cached}{text}", self.number, self.total));
    }

    /// Finds the files of a stage or an image.
    pub(super) fn origin(&mut self, origin: &Origin) -> Result<State, BuildError> {
        match origin {
            Origin::Scratch => Ok(self.state(Vec::new(), Config::default(), 0)),
            Origin::Stage(number) => {
                let built = self.stages.get(number).cloned();
                built.ok_or_else(|| {
                    BuildError::Dockerfile(dockerfile::Error::NoTarget { target: number.to_string() })
                })
            }
            Origin::Image(reference) => {
                if let Some(known) = self.images.get(reference) {
                    return Ok(known.clone());
                }
                let state = self.image(reference)?;
                self.images.insert(reference.clone(), state.clone());
                Ok(state)
            }
        }
    }

    fn state(&self, layers: Vec<String>, config: Config, bytes: u64) -> State {
        // Nobody sees what is in another tenant's cache, nor whether it is there.
        let mut parts = vec![self.order.organization_id.as_bytes()];
        parts.extend(layers.iter().map(String::as_bytes));
        State { key: Key::of("image", &parts), layers, config, bytes }
    }

    fn image(&mut self, reference: &str) -> Result<State, BuildError> {
        let failed = |source| BuildError::Source { what: format!("image {reference}"), source };
        let name = self.sources.base(reference, self.log.log()).map_err(failed)?;
        self.watch.check()?;
        let store = self.store();
        drop(store.used_if_captured(&name));
        // Held first and looked at then: whoever removes layers does it the other way round.
        let held = store.hold(store.find_whole(&name)?.layers);
        let image = store.find_whole(&name)?;
        self.held.push(held);
        let bytes = if image.size_bytes > 0 { image.size_bytes } else { store.weigh(&image.layers) };
        let config = Config {
            environment: image.environment,
            user: image.user,
            working_directory: image.working_directory,
            entrypoint: image.entrypoint,
            command: image.command,
            shell: Vec::new(),
            labels: image.labels.into_iter().collect(),
            exposed: image.exposed_ports,
        };
        Ok(self.state(image.layers, config, bytes))
    }

    /// Unpacks the contexts, once; returns where they are.
    pub(super) fn context(&mut self) -> Result<&(Gathered, View), BuildError> {
        if self.context.is_none() {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let name = format!("context-{}", NEXT.fetch_add(1, Ordering::Relaxed));
            let gathered = Gathered(self.host.settings.data_directory.join("pool").join(name));
            let view =
                context::gather(&gathered.0, &self.order.contexts, self.sources, self.log.log(), self.watch)?;
            self.context = Some((gathered, view));
        }
        self.context.as_ref().ok_or(BuildError::Cancelled)
    }

    /// Takes a step from the cache, if it is there; says that it begins in any case.
    pub(super) fn is_cached(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        key: Key,
    ) -> Result<bool, BuildError> {
        let name = key.to_hex();
        let earlier = self.done.iter().find(|(known, _)| *known == name).map(|(_, outcome)| outcome.clone());
        let found = match earlier {
            Some(outcome) => Some(outcome),
            None => self.store().step(&name).map(|(outcome, held)| {
                self.held.push(held);
                outcome
            }),
        };
        self.head(&instruction.text, found.is_some());
        match found {
            Some(outcome) => put(state, instruction, key, &outcome).map(|()| true),
            None => Ok(false),
        }
    }

    /// Makes a layer the result of a step.
    pub(super) fn finish(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        key: Key,
        (outcome, held): (Outcome, Held),
    ) -> Result<(), BuildError> {
        self.held.push(held);
        put(state, instruction, key, &outcome)?;
        self.done.push((key.to_hex(), outcome));
        Ok(())
    }
}

/// Puts what a step comes to on top of what was there.
fn put(state: &mut State, instruction: &Instruction, key: Key, outcome: &Outcome) -> Result<(), BuildError> {
    state.key = key;
    state.bytes = state.bytes.saturating_add(outcome.bytes);
    if let Some(layer) = &outcome.layer {
        if state.layers.len() >= MOST_LAYERS {
            let reason =
                format!("more than {MOST_LAYERS} layers cannot be stacked; join some RUN instructions");
            return Err(BuildError::Refused { line: instruction.line, reason });
        }
        state.layers.insert(0, layer.clone());
    }
    Ok(())
}

/// Says that the host could not do something for a build.
pub(super) fn host(action: &'static str) -> impl FnOnce(linux::errno::CallError) -> BuildError {
    move |source| BuildError::Host(RunnerError::Host { action, source })
}
