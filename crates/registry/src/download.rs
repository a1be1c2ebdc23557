//! Fetches content: what is small into memory, what is large into a file that a later try continues.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use reqwest::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::{Class, RegistryError};
use crate::manifest::{self, Descriptor, MOST_MANIFEST_BYTES};
use crate::session::{Pace, Session};

const FETCH: &str = "fetch";
const COPY_BYTES: usize = 1 << 20;
/// How often a transfer may be interrupted, however far it gets each time.
const MOST_INTERRUPTIONS: u32 = 100;

/// A manifest or an index as it came, and what it hashes to.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) digest: Digest,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: Option<String>,
}

impl Session {
    /// Fetches the manifest under a tag, or the one with a digest, which it then has.
    pub(crate) async fn manifest(
        &self,
        selector: &str,
        wanted: Option<&Digest>,
        name: &str,
    ) -> Result<Fetched, RegistryError> {
        let mut ask = self.ask(FETCH, name, Method::GET, &format!("manifests/{selector}"))?;
        ask.headers.insert(ACCEPT, HeaderValue::from_static(manifest::ACCEPTED));
        let answer = self.send(&ask).await?;
        let answer = self.accept(&ask, answer).await?;
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let (content_type, told) = (header(CONTENT_TYPE.as_str()), header("docker-content-digest"));
        let body = self.body(&ask, answer, MOST_MANIFEST_BYTES).await?;
        let digest = Digest::of(&body);
        if wanted.is_some_and(|wanted| *wanted != digest) {
            return Err(self.broke(&ask, "sent another manifest than was asked for"));
        }
        if told.is_some_and(|told| told.starts_with("sha256:") && told != digest.to_string()) {
            return Err(self.broke(&ask, "says that its manifest has another digest than it has"));
        }
        Ok(Fetched { digest, body, content_type })
    }

    /// Fetches a small blob.
    pub(crate) async fn blob(&self, blob: &Descriptor, most: usize) -> Result<Vec<u8>, RegistryError> {
        let what = blob.digest.to_string();
        let ask = self.ask(FETCH, &what, Method::GET, &format!("blobs/{what}"))?;
        let answer = self.send(&ask).await?;
        let answer = self.accept(&ask, answer).await?;
        let body = self.body(&ask, answer, usize::try_from(blob.size).unwrap_or(most).min(most)).await?;
        if u64::try_from(body.len()).ok() != Some(blob.size) || Digest::of(&body) != blob.digest {
            return Err(wrong(blob, "what came has another size or another digest"));
        }
        Ok(body)
    }

    /// Asks whether the registry lets this caller have a blob.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let what = digest.to_string();
        let ask = self.ask("look for", &what, Method::HEAD, &format!("blobs/{what}"))?;
        let answer = self.send(&ask).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.accept(&ask, answer).await.map(|_| true)
    }

    /// Fetches a blob into `file`, after what an earlier try left there. Then the file holds the blob and nothing else.
    /// Writes to the file on the thread that drives it. `progress` is told how many bytes are there.
    pub(crate) async fn blob_into(
        &self,
        blob: &Descriptor,
        file: &File,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut copy = Copy::resume(blob, file)?;
        let was_resumed = copy.at > 0;
        progress(copy.at);
        let (mut attempt, mut interruptions) = (1, 0);
        while copy.at < blob.size {
            let before = copy.at;
            match self.transfer(blob, &mut copy, progress).await {
                Ok(()) => {}
                Err(error)
                    if error.class() == Class::Retry && !matches!(error, RegistryError::File { .. }) =>
                {
                    // One that gets on is no reason to give up, unless it goes on like that.
                    attempt = if copy.at > before { 1 } else { attempt + 1 };
                    interruptions += 1;
                    if attempt > self.attempts() || interruptions > MOST_INTERRUPTIONS {
                        return Err(error);
                    }
                    tokio::time::sleep(self.patience.pause(attempt)).await;
                }
                Err(error) => return Err(error),
            }
        }
        if copy.is_right() {
            return Ok(());
        }
        copy.restart()?;
        if was_resumed {
            // What was left may have been damaged by a power cut; this time all of it comes.
            return Box::pin(self.blob_into(blob, file, progress)).await;
        }
        Err(wrong(blob, "what came has another digest"))
    }

    /// Fetches what is missing, in one answer, up to its end or its interruption.
    async fn transfer(
        &self,
        blob: &Descriptor,
        copy: &mut Copy<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let what = blob.digest.to_string();
        let mut ask = self.ask(FETCH, &what, Method::GET, &format!("blobs/{what}"))?;
        if copy.at > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", copy.at));
            ask.headers.extend(range.ok().map(|range| (RANGE, range)));
        }
        let mut answer = self.send(&ask).await?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            copy.restart()?;
            ask.headers.remove(RANGE);
            answer = self.send(&ask).await?;
        }
        let mut answer = self.accept(&ask, answer).await?;
        if copy.at > 0 && first_byte(&answer) != Some(copy.at) {
            // It knows no ranges and begins again.
            if answer.status() == StatusCode::PARTIAL_CONTENT {
                return Err(self.broke(&ask, "sent another part than was asked for"));
            }
            copy.restart()?;
        }
        let mut pace = Pace::new(self.patience.silence);
        while let Some(part) = self.part(&ask, &mut answer, &mut pace).await? {
            if !copy.append(&part)? {
                copy.restart()?;
                return Err(wrong(blob, "more came than it has"));
            }
            progress(copy.at);
        }
        if copy.at < blob.size {
            copy.stopped_short += 1;
            // An answer that ends early without an error: continued twice, then it is a lie.
            if copy.stopped_short > 2 {
                copy.restart()?;
                return Err(wrong(blob, "less came than it has"));
            }
            return Err(self.stalled(&ask));
        }
        Ok(())
    }
}

/// A file that becomes a blob.
struct Copy<'file> {
    blob: &'file Descriptor,
    file: &'file File,
    hash: Sha256,
    at: u64,
    stopped_short: u32,
}

impl<'file> Copy<'file> {
    /// Reads what is there.
    fn resume(blob: &'file Descriptor, file: &'file File) -> Result<Self, RegistryError> {
        let mut copy = Self { blob, file, hash: Sha256::new(), at: 0, stopped_short: 0 };
        let read = copy.read_again();
        match read.map_err(|source| copy.failed("read", source))? {
            length if length > blob.size => copy.restart()?,
            length => copy.at = length,
        }
        Ok(copy)
    }

    fn read_again(&mut self) -> io::Result<u64> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut length = 0;
        loop {
            let read = file.read(&mut buffer)?;
            let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { return Ok(length) };
            self.hash.update(part);
            length += u64::try_from(read).unwrap_or_default();
        }
    }

    /// Adds a part; false when there are more bytes than the blob has.
    fn append(&mut self, part: &[u8]) -> Result<bool, RegistryError> {
        let end = self.at.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        if end > self.blob.size {
            return Ok(false);
        }
        let mut file = self.file;
        file.write_all(part).map_err(|source| self.failed("write", source))?;
        self.hash.update(part);
        self.at = end;
        Ok(true)
    }

    fn restart(&mut self) -> Result<(), RegistryError> {
        let mut file = self.file;
        let emptied = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| self.failed("empty", source))?;
        (self.hash, self.at) = (Sha256::new(), 0);
        Ok(())
    }

    fn is_right(&self) -> bool {
        Digest::finish(self.hash.clone()) == self.blob.digest
    }

    fn failed(&self, action: &'static str, source: io::Error) -> RegistryError {
        RegistryError::File { action, digest: self.blob.digest.to_string(), source }
    }
}

/// Reads where a part of a blob begins.
fn first_byte(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn wrong(blob: &Descriptor, reason: &str) -> RegistryError {
    RegistryError::Content { action: FETCH, digest: blob.digest.to_string(), reason: reason.to_owned() }
}
