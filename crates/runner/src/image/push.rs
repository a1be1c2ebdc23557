//! Brings an image of this host to a registry.
//!
//! Layers that the registry has already, or has elsewhere, are not sent: those that came from one are there under the
//! digest that they had. All others are packed anew, one file at a time for each worker, and the file goes again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;
use registry::client::Push;
use registry::manifest::{
    Configuration, Descriptor, OCI_CONFIG, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Platform, Process, RootFileSystem,
};
use registry::{Credentials, Digest, Reference};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error::RunnerError;
use crate::image::remote::{Progress, Remote, Tally, each_layer};
use crate::image::{Config, Image, Store, bundle, file};

const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
const BUFFER_BYTES: usize = 1 << 20;

/// How layers are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Fast; engines of before 2021 cannot read it.
    #[default]
    Zstd,
    /// Every engine reads it.
    Gzip,
}

/// An order to push an image.
#[derive(Debug, Clone)]
pub struct PushOrder {
    /// Where to, and under which name.
    pub target: Reference,
    /// Whoever orders it, at that registry.
    pub credentials: Option<Credentials>,
    /// How layers are packed that the registry does not have.
    pub compression: Compression,
    /// Takes the order back.
    pub stop: CancellationToken,
}

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Of its manifest.
    pub digest: Digest,
    /// What its layers have in the registry, compressed.
    pub size_bytes: u64,
}

/// A layer that is in the registry.
struct Sent {
    blob: Descriptor,
    diff_id: Digest,
}

impl Store {
    /// Pushes an image of this host; blocks. `progress` is told of each step, on any thread.
    pub fn push(
        &self,
        remote: &Remote,
        image: &str,
        order: &PushOrder,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Pushed, RunnerError> {
        let record = self.find_whole(image)?;
        let held = self.hold(record.layers.iter().cloned());
        // Whoever removed it just before it was held did that for good.
        let record = if record.layers.iter().all(|layer| self.layer(layer).is_dir()) {
            record
        } else {
            self.find_whole(image)?
        };
        let lowest_first: Vec<&String> = record.layers.iter().rev().collect();
        let others = self.repositories(&record, &order.target)?;
        let push = remote.client.push(&order.target, order.credentials.as_ref(), others.into_iter());
        let push = push.map_err(|source| RunnerError::Registry { source })?;
        let tally = Tally::new(record.size_bytes, lowest_first.len(), progress);
        let name = order.target.to_string();
        let sent = each_layer(lowest_first.len(), &order.stop, |at, stop| {
            let Some(layer) = lowest_first.get(at) else {
                return Err(RunnerError::Stopped { image: name.clone() });
            };
            let sent = self.send_layer(remote, &push, layer, order, stop, &|bytes| tally.bytes(at, bytes))?;
            tally.finished(at, sent.blob.size);
            Ok(sent)
        });
        let sent = match sent {
            Err(_) if order.stop.is_cancelled() => return Err(RunnerError::Stopped { image: name }),
            sent => sent?,
        };
        let pushed = self.finish(remote, &push, order, &record, &sent)?;
        drop(held);
        Ok(pushed)
    }

    /// Lists repositories of the target's registry from which layers of the image came.
    fn repositories(&self, record: &Image, target: &Reference) -> Result<Vec<String>, RunnerError> {
        const MOST: usize = 8;
        let mut found = Vec::new();
        for layer in &record.layers {
            for repository in self.provenance(layer)?.unwrap_or_default().repositories {
                if let Some((host, path)) = repository.split_once('/')
                    && host == target.registry()
                    && path != target.repository()
                    && !found.contains(&path.to_owned())
                    && found.len() < MOST
                {
                    found.push(path.to_owned());
                }
            }
        }
        Ok(found)
    }

    fn send_layer(
        &self,
        remote: &Remote,
        push: &Push,
        layer: &str,
        order: &PushOrder,
        stop: &CancellationToken,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Sent, RunnerError> {
        let image = order.target.to_string();
        if let Some(diff_id) = Digest::from_hex(layer)
            && let Some(blob) = self.already_there(remote, push, layer, order, stop)?
        {
            return Ok(Sent { blob, diff_id });
        }
        let draft = self.draft()?;
        let path = draft.aside().join("archive");
        let (blob, diff_id) = remote.work(&image, stop, || {
            pack(&self.layer(layer), &path, order.compression, stop).map_err(|source| {
                if stop.is_cancelled() {
                    RunnerError::Stopped { image: image.clone() }
                } else {
                    file("pack", &self.layer(layer), source)
                }
            })
        })?;
        remote.transfer(&image, stop, async {
            if push.has(&blob.digest).await? { Ok(()) } else { push.send(&blob, &path, progress).await }
        })?;
        Ok(Sent { blob, diff_id })
    }

    /// Finds out whether the registry has the archive from which a layer came, and lets us use it.
    fn already_there(
        &self,
        remote: &Remote,
        push: &Push,
        layer: &str,
        order: &PushOrder,
        stop: &CancellationToken,
    ) -> Result<Option<Descriptor>, RunnerError> {
        let Some(known) = self.provenance(layer)? else { return Ok(None) };
        let image = order.target.to_string();
        for blob in &known.blobs {
            if remote.wait(&image, stop, push.has(&blob.digest))? {
                return Ok(Some(blob.clone()));
            }
            for repository in &known.repositories {
                if let Some((host, path)) = repository.split_once('/')
                    && host == order.target.registry()
                    && path != order.target.repository()
                    && remote.wait(&image, stop, push.mount(&blob.digest, path))?
                {
                    return Ok(Some(blob.clone()));
                }
            }
        }
        Ok(None)
    }

    /// Sends the configuration and the manifest.
    fn finish(
        &self,
        remote: &Remote,
        push: &Push,
        order: &PushOrder,
        record: &Image,
        sent: &[Sent],
    ) -> Result<Pushed, RunnerError> {
        let image = order.target.to_string();
        let diff_ids = sent.iter().map(|sent| sent.diff_id.clone()).collect();
        let body = serde_json::to_vec(&configuration(record.config(), diff_ids))
            .map_err(|source| RunnerError::Encode { what: "configuration of an image", source })?;
        let config = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest: Digest::of(&body),
            size: u64::try_from(body.len()).unwrap_or_default(),
            platform: None,
        };
        let draft = self.draft()?;
        let path = draft.aside().join("configuration");
        fs::write(&path, &body).map_err(|source| file("write", &path, source))?;
        let blobs: Vec<Descriptor> = sent.iter().map(|sent| sent.blob.clone()).collect();
        let digest = remote.wait(&image, &order.stop, async {
            if !push.has(&config.digest).await? {
                push.send(&config, &path, &|_| {}).await?;
            }
            push.finish(&config, &blobs).await
        })?;
        let size_bytes = blobs.iter().map(|blob| blob.size).sum();
        Ok(Pushed { digest, size_bytes })
    }
}

fn configuration(config: Config, diff_ids: Vec<Digest>) -> Configuration {
    let Platform { architecture, os, .. } = Platform::here();
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let list = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    let process = Process {
        user: text(config.user),
        working_dir: text(config.working_directory),
        env: list(config.environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        entrypoint: list(config.entrypoint),
        cmd: list(config.command),
        labels: Some(config.labels).filter(|labels| !labels.is_empty()),
        exposed_ports: Some(config.exposed_ports.into_iter().map(|port| (port, json!({}))).collect())
            .filter(|ports: &BTreeMap<_, _>| !ports.is_empty()),
    };
    let rootfs = RootFileSystem { kind: "layers".to_owned(), diff_ids };
    Configuration { architecture, os, config: Some(process), rootfs }
}

/// Packs a layer into a file; returns what the file is, and what it decompresses to.
fn pack(
    layer: &Path,
    path: &Path,
    compression: Compression,
    stop: &CancellationToken,
) -> io::Result<(Descriptor, Digest)> {
    let opened = File::options().write(true).create_new(true).open(path)?;
    let archive = Counted::new(io::BufWriter::with_capacity(BUFFER_BYTES, opened), stop);
    let (archive, diff_id, media_type) = match compression {
        Compression::Gzip => {
            // Nothing of time or name is in its header: the same content gives the same bytes.
            let encoder = flate2::write::GzEncoder::new(archive, flate2::Compression::new(GZIP_LEVEL));
            let mut plain = Counted::new(encoder, stop);
            bundle::bundle(layer, &mut plain)?;
            let (encoder, diff_id, _) = plain.finish();
            (encoder.finish()?, diff_id, OCI_LAYER_GZIP)
        }
        Compression::Zstd => {
            let mut plain = Counted::new(zstd::stream::write::Encoder::new(archive, ZSTD_LEVEL)?, stop);
            bundle::bundle(layer, &mut plain)?;
            let (encoder, diff_id, _) = plain.finish();
            (encoder.finish()?, diff_id, OCI_LAYER_ZSTD)
        }
    };
    let (mut file, digest, size) = archive.finish();
    file.flush()?;
    Ok((Descriptor { media_type: media_type.to_owned(), digest, size, platform: None }, diff_id))
}

/// Passes bytes on, counts them and takes their digest; ends in an error when it is told to stop.
struct Counted<'stop, W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
    stop: &'stop CancellationToken,
}

impl<'stop, W> Counted<'stop, W> {
    fn new(inner: W, stop: &'stop CancellationToken) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0, stop }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.inner, Digest::finish(self.hash), self.bytes)
    }
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("the order was taken back"));
        }
        let written = self.inner.write(buffer)?;
        self.hash.update(buffer.get(..written).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(u64::try_from(written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
