//! Images made of Dockerfiles: each `RUN` in a sandbox of its own, each change of files a layer, what was made before
//! taken from the cache.
//!
//! Must not know: registries, buckets, rows; whoever calls brings [`Sources`] and a [`Log`].

pub mod error;
mod log;
mod watch;
mod speak;
mod view;
mod write;
mod archive;
mod owner;
mod context;
mod copy;
mod cache;
mod mounted;
mod place;
mod execute;
mod step;

use std::collections::BTreeMap;
use std::io::Read;

use dockerfile::Dockerfile;
use dockerfile::key::Key;
use dockerfile::plan::{Plan, Request};
use types::sandbox::Network;

use crate::build::error::BuildError;
use crate::build::execute::{Build, State};
use crate::build::log::Teller;
use crate::build::watch::Watch;
use crate::host::Host;
use crate::image::Config;
use crate::image::draft::NewImage;

pub use watch::Cancel;

/// An order for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOrder {
    /// The tenant; caches are never shared between two.
    pub organization_id: String,
    /// The name that the image gets in this host's store; begins with `types::build::BUILT`.
    pub image: String,
    /// The text of the Dockerfile.
    pub dockerfile: String,
    /// Which contexts are merged for `COPY` and `ADD`; see [`Sources::context`].
    pub contexts: Vec<String>,
    /// Values of `ARG`s.
    pub arguments: Vec<(String, String)>,
    /// The stage to build; the last one, when there is none.
    pub target: Option<String>,
    /// Processor time of each step, in thousandths of one processor.
    pub cpu_thousandths: u32,
    /// Memory of each step.
    pub memory_bytes: u64,
    /// How much one step may write.
    pub disk_bytes: u64,
    /// What steps may reach.
    pub network: Network,
    /// How long the whole build may take.
    pub timeout: std::time::Duration,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its name in this host's store.
    pub image: String,
    /// Names what it is made of, as lowercase hexadecimal.
    pub digest: String,
    /// What all its layers hold.
    pub size_bytes: u64,
    /// The program that it starts; empty when it names none.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    pub command: Vec<String>,
    /// Who runs commands; empty means root.
    pub user: String,
    /// Where commands run; empty means the user's home.
    pub working_directory: String,
    /// Variables every command gets.
    pub environment: Vec<(String, String)>,
}

/// Where a build's files come from. Calls may take long; they block.
pub trait Sources: Sync {
    /// Brings the image of a `FROM` or `--from` to this host, for the tenant of the build, and returns its name in the
    /// host's store. Progress may go to `log`.
    fn base(&self, reference: &str, log: &dyn Log) -> Result<String, SourceError>;

    /// Opens a context as an uncompressed tar archive, whose members have the paths that the Dockerfile uses.
    fn context(&self, hash: &str) -> Result<Box<dyn Read + Send>, SourceError>;
}

/// Why something is not to be had: a sentence with its remedy, for the tenant.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Hears what a build says, while it does.
pub trait Log: Sync {
    /// Takes one line, without its end.
    fn line(&self, line: &str);
}

impl Host {
    /// Makes the image of an order; blocks. What its steps made is kept for the next build, also when one of them fails.
    /// Of builds of one tenant that do the same at the same time, one works and the others take what it made.
    pub fn build(
        &self,
        order: &BuildOrder,
        sources: &dyn Sources,
        log: &dyn Log,
        cancel: &Cancel,
    ) -> Result<Built, BuildError> {
        let watch = Watch::begin(cancel, order.timeout);
        let arguments: BTreeMap<String, String> = order.arguments.iter().cloned().collect();
        let request = Request { arguments, target: order.target.clone() };
        let file = Dockerfile::parse(&order.dockerfile)?;
        let plan = Plan::new(&file, &request)?;
        let turn = self.ground.images.build_turn(&order.likeness(), || watch.check().is_err());
        if turn.is_none() {
            watch.check()?;
        }
        let teller = Teller::new(log);
        let mut work = Build::new((self, order), sources, (&teller, &watch), (&file, &plan));
        let state = work.run();
        // After a failure, too: whoever corrects the last step need not wait for those before it.
        let kept = self.ground.images.keep_steps(&work.done);
        let state = state?;
        kept?;
        let built = self.name(order, state)?;
        let seconds = watch.elapsed().as_secs_f64();
        teller.say(&format!("built in {seconds:.1} s, {} MiB", built.size_bytes >> 20));
        Ok(built)
    }

    /// Gives what was built its name.
    fn name(&self, order: &BuildOrder, state: State) -> Result<Built, BuildError> {
        let dockerfile::config::Config { environment, user, working_directory, entrypoint, command, .. } =
            state.config;
        let config = Config {
            user,
            working_directory,
            environment,
            entrypoint,
            command,
            labels: state.config.labels.into_iter().collect(),
            exposed_ports: state.config.exposed,
        };
        let parts: Vec<&[u8]> = state.layers.iter().map(String::as_bytes).collect();
        let digest = Key::of("image", &parts).then("config", &[format!("{config:?}").as_bytes()]).to_hex();
        let (name, size_bytes) = (Some(order.image.clone()), state.bytes);
        let image = NewImage { name, layers: state.layers, config, size_bytes };
        let image = self.ground.images.put_image(image)?;
        Ok(Built {
            image: image.name,
            digest,
            size_bytes,
            entrypoint: image.entrypoint,
            command: image.command,
            user: image.user,
            working_directory: image.working_directory,
            environment: image.environment,
        })
    }
}

impl BuildOrder {
    /// Names what does the same as this.
    fn likeness(&self) -> String {
        let contexts = self.contexts.join(" ");
        let arguments = format!("{:?} {:?} {:?}", self.arguments, self.target, self.network);
        let parts = [&self.organization_id, &self.dockerfile, &contexts, &arguments];
        Key::of("order", &parts.map(String::as_bytes)).to_hex()
    }
}
