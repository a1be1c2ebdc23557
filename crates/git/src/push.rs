//! Pushes a branch over HTTP (gitprotocol-pack(5)).

use std::io::{self, Read, Write as _};

use git2::{Oid, Repository};

use crate::advertisement::Advertisement;
use crate::client::{Client, Service};
use crate::error::{During as _, GitError};
use crate::fetch::scratch;
use crate::packet::{self, Packet};

/// How much of what a server's hooks print is kept for the message of a refusal.
const NEWS_BYTES: usize = 4 * 1024;
/// A report of one branch is short.
const REPORT_BYTES: usize = 64 * 1024;
/// What servers say when the branch moved while we pushed; anything else is their own will.
const RACES: [&str; 6] = [
    "non-fast-forward",
    "fetch first",
    "stale info",
    "failed to update ref",
    "failed to lock",
    "incorrect old value",
];

/// Makes the remote's reference `name` point to `new`, where it pointed to `old` (nothing when absent).
pub fn push(
    repository: &Repository,
    client: &mut Client,
    advertised: &Advertisement,
    name: &str,
    old: Option<Oid>,
    new: Oid,
) -> Result<(), GitError> {
    if !advertised.can("report-status") {
        return Err(client.transport("it cannot report what becomes of a push".to_owned()));
    }
    let is_banded = advertised.can("side-band-64k");
    let band = if is_banded { " side-band-64k" } else { "" };
    let mut request = Vec::new();
    let old = old.unwrap_or(Oid::ZERO_SHA1);
    packet::push(&mut request, format!("{old} {new} {name}\0report-status{band}").as_bytes());
    packet::push_flush(&mut request);
    let failed = |source| GitError::File {
        action: "prepare a pack below",
        path: repository.path().to_string_lossy().into_owned(),
        source,
    };
    let mut file = scratch(repository.path())?;
    file.write_all(&request).map_err(failed)?;
    let mut builder = repository.packbuilder().during("pack objects")?;
    let mut walk = repository.revwalk().during("walk the history")?;
    walk.push(new).during("walk the history")?;
    let objects = repository.odb().during("open the objects")?;
    for known in advertised.references.iter().filter(|known| objects.exists(known.target)) {
        // Only commits can be hidden; a tag of a tree hides nothing.
        let _ = walk.hide(known.target);
    }
    builder.insert_walk(&mut walk).during("pack objects")?;
    let mut broken = None;
    let packed = builder.foreach(|piece| match file.write_all(piece) {
        Ok(()) => true,
        Err(error) => {
            broken = Some(error);
            false
        }
    });
    if let Some(error) = broken {
        return Err(failed(error));
    }
    packed.during("pack objects")?;
    let mut answer = client.call(Service::ReceivePack, &mut file)?;
    let mut told = Told::default();
    told.read(&mut answer, is_banded)
        .map_err(|error| client.transport(format!("the answer broke off: {error}")))?;
    told.judge(client, name)
}

/// What the server answers.
#[derive(Debug, Default)]
struct Told {
    report: Vec<u8>,
    news: String,
    failure: String,
}

impl Told {
    fn read(&mut self, answer: &mut impl Read, is_banded: bool) -> io::Result<()> {
        if !is_banded {
            answer.take(REPORT_BYTES as u64).read_to_end(&mut self.report)?;
            return Ok(());
        }
        while let Packet::Data(data) = packet::read(answer)? {
            match data.split_first() {
                Some((1, report)) if self.report.len() + report.len() <= REPORT_BYTES => {
                    self.report.extend_from_slice(report);
                }
                Some((2, news)) if self.news.len() < NEWS_BYTES => self.news.push_str(&packet::text(news)),
                Some((3, words)) => self.failure = packet::text(words),
                _ => {}
            }
        }
        Ok(())
    }

    fn judge(&self, client: &Client, name: &str) -> Result<(), GitError> {
        let rejected = |reason: &str| {
            let words = [reason, &self.news].join(" ");
            GitError::RemoteRejected { url: client.url().to_string(), reason: packet::printable(&words) }
        };
        if !self.failure.is_empty() {
            return Err(rejected(&self.failure));
        }
        let mut report = self.report.as_slice();
        let mut is_taken = false;
        while let Ok(Packet::Data(data)) = packet::read(&mut report) {
            let line = packet::text(&data);
            if let Some(reason) = line.strip_prefix("unpack ").filter(|reason| *reason != "ok") {
                return Err(rejected(reason));
            }
            if let Some(reason) = line.strip_prefix("ng ").and_then(|rest| rest.strip_prefix(name)) {
                if RACES.iter().any(|race| reason.contains(race)) {
                    return Err(GitError::PushRejected {
                        branch: name.to_owned(),
                        reason: packet::printable(reason),
                    });
                }
                return Err(rejected(reason));
            }
            is_taken |= line.strip_prefix("ok ") == Some(name);
        }
        if is_taken {
            Ok(())
        } else {
            Err(client.transport("it did not say whether it took the push".to_owned()))
        }
    }
}
