//! The registries of the world: images are pulled through it, and pushed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::digest::Digest;
use crate::endpoint::{self, Endpoint};
use crate::error::{Class, RegistryError};
use crate::manifest::{
    self, Configuration, Descriptor, Document, MOST_CONFIG_BYTES, Manifest, OCI_CONFIG, OCI_MANIFEST,
    Platform,
};
use crate::reference::Reference;
use crate::session::{Patience, Session};
use crate::settings::{Credentials, Settings};

/// Makes sessions with registries. All that is known of them are the operator's settings.
#[derive(Debug, Clone)]
pub struct Client {
    /// Those with settings: their mirrors, and then they themselves.
    hosts: BTreeMap<String, Vec<Endpoint>>,
    /// For all others.
    general: reqwest::Client,
    patience: Patience,
}

impl Client {
    /// Checks the settings; nothing is sent yet.
    pub fn new(settings: &Settings) -> Result<Self, RegistryError> {
        Ok(Self {
            hosts: endpoint::configured(settings)?.into_iter().collect(),
            general: endpoint::client("any", None)?,
            patience: Patience { silence: settings.silence, retry_pause: settings.retry_pause },
        })
    }

    /// Returns the endpoints of a registry, its mirrors first.
    fn endpoints(&self, registry: &str) -> Result<Vec<Endpoint>, RegistryError> {
        match self.hosts.get(registry) {
            Some(known) => Ok(known.clone()),
            None => Ok(vec![Endpoint::of(registry, None, self.general.clone())?]),
        }
    }

    /// Begins to pull an image.
    pub fn pull(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Pull, RegistryError> {
        let session = |endpoint| Source {
            session: Session::new(
                endpoint,
                reference.repository(),
                "pull",
                credentials.cloned(),
                self.patience,
            ),
            is_away: AtomicBool::new(false),
        };
        let sources = self.endpoints(reference.registry())?.into_iter().map(session).collect();
        Ok(Pull { reference: reference.clone(), sources })
    }

    /// Begins to push an image; `others` are repositories of the same registry that may have parts of it.
    pub fn push(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        others: impl Iterator<Item = String>,
    ) -> Result<Push, RegistryError> {
        let endpoint = self.endpoints(reference.registry())?.into_iter().find(|endpoint| !endpoint.is_mirror);
        let endpoint =
            endpoint.map_or_else(|| Endpoint::of(reference.registry(), None, self.general.clone()), Ok)?;
        let repository = reference.repository();
        let mut session =
            Session::new(endpoint, repository, "pull,push", credentials.cloned(), self.patience);
        session.also_read(others);
        Ok(Push { reference: reference.clone(), session })
    }
}

/// Where an image may come from.
#[derive(Debug)]
struct Source {
    session: Session,
    /// A mirror that did not answer is not asked again.
    is_away: AtomicBool,
}

/// An image that is being pulled.
#[derive(Debug)]
pub struct Pull {
    reference: Reference,
    sources: Vec<Source>,
}

/// What a name stands for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Of what the registry has under the name: an index of several machines' images, or the image itself.
    pub digest: Digest,
    /// Of the image's manifest.
    pub manifest_digest: Digest,
    /// The image for this machine.
    pub manifest: Manifest,
    /// What it says of itself.
    pub configuration: Configuration,
}

impl Pull {
    /// Names the registry and the repository, which decide together who may have what.
    pub fn source(&self) -> String {
        format!("{}/{}", self.reference.registry(), self.reference.repository())
    }

    /// Finds out what the name stands for on a machine like `platform`. The registry is always asked: who may see an
    /// image, it alone knows. An image whose layers have more than `most_bytes`, compressed, is refused.
    pub async fn resolve(&self, platform: &Platform, most_bytes: u64) -> Result<Resolved, RegistryError> {
        self.ask_any(async |session: &Session| {
            let name = self.reference.to_string();
            let image = |reason| RegistryError::Image { name: name.clone(), reason };
            let selector = self.reference.selector();
            let top = session.manifest(&selector, self.reference.digest(), &name).await?;
            let read = |fetched: &crate::download::Fetched| {
                manifest::read(&fetched.body, fetched.content_type.as_deref())
                    .map_err(|reason| image(format!("the registry {reason}")))
            };
            let digest = top.digest.clone();
            let (manifest_digest, manifest) = match read(&top)? {
                Document::Manifest(manifest) => (top.digest, manifest),
                Document::Index(entries) => {
                    let chosen = manifest::choose(&entries, platform).map_err(image)?;
                    let wanted = &chosen.digest;
                    let fetched = session.manifest(&wanted.to_string(), Some(wanted), &name).await?;
                    match read(&fetched)? {
                        Document::Manifest(manifest) => (fetched.digest, manifest),
                        Document::Index(_) => {
                            return Err(image("its index leads to another index".to_owned()));
                        }
                    }
                }
            };
            manifest.check(most_bytes).map_err(image)?;
            let body = session.blob(&manifest.config, MOST_CONFIG_BYTES).await?;
            let configuration = Configuration::read(&body, &manifest, platform).map_err(image)?;
            Ok(Resolved { digest, manifest_digest, manifest, configuration })
        })
        .await
    }

    /// Asks whether this caller may have a blob.
    pub async fn may_have(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.ask_any(async |session: &Session| match session.has_blob(digest).await {
            // Another may know.
            Ok(false) => Err(RegistryError::Missing {
                action: "look for",
                what: digest.to_string(),
                host: session.endpoint.host.clone(),
            }),
            answered => answered,
        })
        .await
        .or_else(|error| if error.is_absence() { Ok(false) } else { Err(error) })
    }

    /// Fetches a blob into `file`, after what an earlier try left there; see the errors for what is refused. Writes to the
    /// file on the thread that drives it. `progress` is told how many bytes are there.
    pub async fn fetch(
        &self,
        blob: &Descriptor,
        file: &File,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        self.ask_any(async |session: &Session| session.blob_into(blob, file, progress).await).await
    }

    /// Asks the mirrors in their order, and then the registry itself, whose failure counts.
    async fn ask_any<T>(
        &self,
        ask: impl AsyncFn(&Session) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut last = None;
        for source in &self.sources {
            if source.is_away.load(Ordering::Relaxed) {
                continue;
            }
            match ask(&source.session).await {
                Err(error) if !matches!(error, RegistryError::File { .. }) => {
                    if error.class() == Class::Retry && source.session.endpoint.is_mirror {
                        source.is_away.store(true, Ordering::Relaxed);
                    }
                    last = Some(error);
                }
                answered => return answered,
            }
        }
        Err(last.unwrap_or_else(|| RegistryError::Settings {
            host: self.reference.registry().to_owned(),
            reason: "there is nobody to ask".to_owned(),
        }))
    }
}

/// An image that is being pushed: first its parts, then the manifest that names them.
#[derive(Debug)]
pub struct Push {
    reference: Reference,
    session: Session,
}

impl Push {
    /// Asks whether a blob is in the repository.
    pub async fn has(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.session.has_blob(digest).await
    }

    /// Takes a blob over from another repository of the registry; false when that does not work.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, RegistryError> {
        match self.session.mount(digest, from).await {
            Err(error) if error.class() == Class::Reject => Ok(false),
            mounted => mounted,
        }
    }

    /// Sends a blob; `progress` is told how many bytes were sent.
    pub async fn send(
        &self,
        blob: &Descriptor,
        file: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        self.session.push_blob(blob, file, progress).await
    }

    /// Puts the manifest of an image whose parts are there; returns its digest. A name with a digest must have this one.
    pub async fn finish(&self, config: &Descriptor, layers: &[Descriptor]) -> Result<Digest, RegistryError> {
        let body = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor { media_type: OCI_CONFIG.to_owned(), ..config.clone() },
            "layers": layers,
        });
        let body = body.to_string().into_bytes();
        let digest = Digest::of(&body);
        let name = self.reference.to_string();
        if self.reference.digest().is_some_and(|wanted| *wanted != digest) {
            let reason = format!("it has the digest {digest}; push it under a tag");
            return Err(RegistryError::Image { name, reason });
        }
        self.session.push_manifest(&self.reference.selector(), OCI_MANIFEST, body, &name).await?;
        Ok(digest)
    }
}
