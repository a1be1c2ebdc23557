//! Brings content into a repository: what is there already stays, the rest is sent in one stream per blob.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use tokio_util::io::ReaderStream;

use crate::digest::Digest;
use crate::error::{Class, RegistryError};
use crate::manifest::Descriptor;
use crate::session::{Ask, Session};

const PUSH: &str = "push";
const CHUNK_BYTES: usize = 256 << 10;

/// What became of the wish to take a blob over from another repository.
enum Begun {
    /// It is there.
    Mounted,
    /// It has to be sent, to this address.
    Upload(Url),
}

impl Session {
    /// Brings a blob into the repository out of a file; `progress` is told how many bytes were sent.
    pub(crate) async fn push_blob(
        &self,
        blob: &Descriptor,
        file: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut attempt = 1;
        loop {
            match self.try_push_blob(blob, file, progress).await {
                Err(error) if error.class() == Class::Retry && attempt < self.attempts() => {
                    tokio::time::sleep(self.patience.pause(attempt)).await;
                    attempt += 1;
                }
                pushed => return pushed,
            }
        }
    }

    /// Takes a blob over from another repository of this registry, if it lets us; false when it has to be sent.
    pub(crate) async fn mount(&self, blob: &Digest, from: &str) -> Result<bool, RegistryError> {
        match self.begin(blob, Some(from)).await? {
            Begun::Mounted => Ok(true),
            Begun::Upload(url) => {
                // Nothing will come; who cannot be told clears it away later.
                let what = blob.to_string();
                let ask = Ask { url, ..self.ask(PUSH, &what, Method::DELETE, "")? };
                let _ = self.send(&ask).await;
                Ok(false)
            }
        }
    }

    async fn try_push_blob(
        &self,
        blob: &Descriptor,
        file: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let Begun::Upload(url) = self.begin(&blob.digest, None).await? else { return Ok(()) };
        let url = self.stream(blob, file, url, progress).await?;
        let what = blob.digest.to_string();
        let mut ask = Ask { url, ..self.ask(PUSH, &what, Method::PUT, "")? };
        ask.url.query_pairs_mut().append_pair("digest", &what);
        ask.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let answer = self.send(&ask).await?;
        self.accept(&ask, answer).await.map(drop)
    }

    async fn begin(&self, blob: &Digest, from: Option<&str>) -> Result<Begun, RegistryError> {
        let what = blob.to_string();
        let mut ask = self.ask(PUSH, &what, Method::POST, "blobs/uploads/")?;
        if let Some(from) = from {
            ask.url.query_pairs_mut().append_pair("mount", &what).append_pair("from", from);
        }
        ask.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let answer = self.send(&ask).await?;
        let answer = self.accept(&ask, answer).await?;
        if answer.status() == StatusCode::CREATED {
            return Ok(Begun::Mounted);
        }
        self.next(&ask, &answer).map(Begun::Upload)
    }

    /// Reads where the registry wants the next request.
    fn next(&self, ask: &Ask<'_>, answer: &Response) -> Result<Url, RegistryError> {
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| answer.url().join(location).ok());
        next.filter(|next| self.endpoint.may_lead_to(next))
            .ok_or_else(|| self.broke(ask, "names no place for what is sent"))
    }

    /// Sends the whole file; returns where the registry wants to be told that this was all.
    async fn stream(
        &self,
        blob: &Descriptor,
        file: &Path,
        url: Url,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Url, RegistryError> {
        let what = blob.digest.to_string();
        let ask = Ask { url, ..self.ask(PUSH, &what, Method::PATCH, "")? };
        let opened = tokio::fs::File::open(file).await;
        let opened =
            opened.map_err(|source| RegistryError::File { action: "read", digest: what.clone(), source })?;
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let chunks = ReaderStream::with_capacity(opened, CHUNK_BYTES).inspect(move |chunk| {
            let bytes = chunk.as_ref().map_or(0, Bytes::len);
            counter.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
        });
        let mut request = self.endpoint.client.request(Method::PATCH, ask.url.clone());
        request = request
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, blob.size)
            .body(reqwest::Body::wrap_stream(chunks));
        if let Some(value) = self.authorization().filter(|_| self.endpoint.is_itself(&ask.url)) {
            request = request.header(AUTHORIZATION, value);
        }
        let answer = self.watched(&ask, request.send(), &sent, progress).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.identify(&ask, &answer).await? {
            // The token's time was over; the next try has a new one.
            return Err(self.stalled(&ask));
        }
        let answer = self.accept(&ask, answer).await?;
        self.next(&ask, &answer)
    }

    /// Waits for an answer as long as bytes leave, and a while longer.
    async fn watched(
        &self,
        ask: &Ask<'_>,
        sending: impl Future<Output = Result<Response, reqwest::Error>>,
        sent: &AtomicU64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Response, RegistryError> {
        let mut sending = std::pin::pin!(sending);
        let (mut known, mut quiet) = (0, 0);
        let tick = self.patience.silence / 20;
        loop {
            if let Ok(answer) = tokio::time::timeout(tick, sending.as_mut()).await {
                progress(sent.load(Ordering::Relaxed));
                return answer.map_err(|source| self.unsent(ask, source));
            }
            let now = sent.load(Ordering::Relaxed);
            quiet = if now == known { quiet + 1 } else { 0 };
            known = now;
            progress(now);
            if quiet > 40 {
                return Err(self.stalled(ask));
            }
        }
    }

    /// Puts a manifest under a tag, or under its digest.
    pub(crate) async fn push_manifest(
        &self,
        selector: &str,
        media_type: &str,
        body: Vec<u8>,
        name: &str,
    ) -> Result<(), RegistryError> {
        let mut ask = self.ask(PUSH, name, Method::PUT, &format!("manifests/{selector}"))?;
        let kind = HeaderValue::from_str(media_type);
        ask.headers.extend(kind.ok().map(|kind| (CONTENT_TYPE, kind)));
        ask.body = Some(body.into());
        let answer = self.send(&ask).await?;
        self.accept(&ask, answer).await.map(drop)
    }
}
