//! Brings an image here out of a registry.
//!
//! An image is named by the digest of its manifest, and its layers by theirs, so two tenants who pull the same have it
//! once. Who may have it, the registry says, each time: nothing that is here already is given to anybody for its name
//! alone.

use std::collections::BTreeSet;

use registry::client::{Pull, Resolved};
use registry::manifest::{Configuration, Platform, Process};
use registry::{Credentials, Digest, Reference};
use tokio_util::sync::CancellationToken;

use crate::error::RunnerError;
use crate::image::allowance::Allowance;
use crate::image::layer::Wanted;
use crate::image::remote::{Progress, Remote, Tally, each_layer};
use crate::image::{Config, Image, Store};

/// An order for an image of a registry.
#[derive(Debug, Clone)]
pub struct PullOrder {
    /// Which.
    pub reference: Reference,
    /// Whoever orders it, at that registry.
    pub credentials: Option<Credentials>,
    /// How much its layers may hold, each before and all together after decompressing.
    pub most_bytes: u64,
    /// Takes the order back.
    pub stop: CancellationToken,
}

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What is kept of it.
    pub image: Image,
    /// What the registry has under the name now: an index of several machines' images, or this image's manifest.
    pub digest: Digest,
}

impl Store {
    /// Brings an image here; blocks. Layers that are here are not fetched again if the registry says that the caller may
    /// have them; what an earlier order left half fetched is continued. `progress` is told of each step, on any thread.
    pub fn pull(
        &self,
        remote: &Remote,
        order: &PullOrder,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Pulled, RunnerError> {
        let image = order.reference.to_string();
        let pull = remote.client.pull(&order.reference, order.credentials.as_ref());
        let pull = pull.map_err(|source| RunnerError::Registry { source })?;
        let resolved = remote.wait(&image, &order.stop, pull.resolve(&Platform::here(), order.most_bytes))?;
        let layers = resolved.configuration.rootfs.diff_ids.iter().map(|id| id.hex().to_owned());
        // From here on nobody removes what is here already.
        let held = self.hold(layers);
        let size_bytes = self.bring_all(remote, &pull, order, &resolved, progress)?;
        let name = resolved.manifest_digest.to_string();
        let (mut layers, added) = self.mend(stack(&resolved.configuration.rootfs.diff_ids))?;
        layers.reverse();
        let record = Image::removable(name, layers, config(resolved.configuration), size_bytes);
        let _turn = self.turns.take(&format!("image {}", record.name), || false);
        if self.find(&record.name)?.as_ref() == Some(&record) {
            self.touch(&record.name);
        } else {
            self.save(&record)?;
        }
        drop((held, added));
        Ok(Pulled { image: record, digest: resolved.digest })
    }

    /// Brings all layers here; returns what they hold.
    fn bring_all(
        &self,
        remote: &Remote,
        pull: &Pull,
        order: &PullOrder,
        resolved: &Resolved,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, RunnerError> {
        let image = order.reference.to_string();
        let blobs = &resolved.manifest.layers;
        let tally = Tally::new(blobs.iter().map(|blob| blob.size).sum(), blobs.len(), progress);
        let allowance = Allowance::new(order.most_bytes);
        let pairs: Vec<_> = blobs.iter().zip(&resolved.configuration.rootfs.diff_ids).collect();
        let sizes = each_layer(pairs.len(), &order.stop, |at, stop| {
            let Some((blob, diff_id)) = pairs.get(at) else { return Ok(0) };
            let wanted = Wanted { image: &image, blob, diff_id, allowance: &allowance };
            let bytes = self.bring(remote, pull, &wanted, stop, &|bytes| tally.bytes(at, bytes))?;
            tally.finished(at, blob.size);
            Ok(bytes)
        });
        // Workers that were told to stop do not know why.
        match sizes {
            Err(_) if order.stop.is_cancelled() => Err(RunnerError::Stopped { image }),
            sizes => Ok(sizes?.into_iter().sum()),
        }
    }
}

/// Names layers, lowest first. Of one that comes twice, the upper one alone decides what is seen, and the kernel stacks
/// none twice.
fn stack(lowest_first: &[Digest]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let mut names: Vec<String> =
        lowest_first.iter().rev().filter(|id| known.insert(id.hex())).map(|id| id.hex().to_owned()).collect();
    names.reverse();
    names
}

/// Takes over how processes are started.
fn config(configuration: Configuration) -> Config {
    let Process { user, working_dir, env, entrypoint, cmd, labels, exposed_ports } =
        configuration.config.unwrap_or_default();
    let variable = |text: String| {
        let (name, value) = text.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    Config {
        user: user.unwrap_or_default(),
        working_directory: working_dir.unwrap_or_default(),
        environment: env.unwrap_or_default().into_iter().filter_map(variable).collect(),
        entrypoint: entrypoint.unwrap_or_default(),
        command: cmd.unwrap_or_default(),
        labels: labels.unwrap_or_default(),
        exposed_ports: exposed_ports.unwrap_or_default().into_keys().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_comes_twice_is_stacked_once() {
        let id = |name: &str| Digest::of(name.as_bytes());
        let stacked = stack(&[id("a"), id("b"), id("a"), id("c"), id("c")]);
        assert_eq!(stacked, [id("b"), id("a"), id("c")].map(|id| id.hex().to_owned()));
    }
}
