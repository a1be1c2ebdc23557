//! Fetches objects over HTTP (gitprotocol-pack(5)): what is wanted, what is here, and the pack of what is missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use git2::{Oid, Repository, Sort};

use crate::advertisement::Advertisement;
use crate::client::{Client, Service};
use crate::error::{During as _, GitError};
use crate::packet::{self, Packet};

/// How many commits are named to the remote as being here, the newest first: enough for it to find one that it has too.
const MOST_HAVES: usize = 512;
const PACK: u8 = 1;
const NEWS: u8 = 2;
const FAILURE: u8 = 3;

/// Makes the objects of `wanted` present, with `depth` commits of history when that is given.
pub fn fetch(
    repository: &Repository,
    client: &mut Client,
    advertised: &Advertisement,
    wanted: &[Oid],
    depth: Option<u32>,
) -> Result<(), GitError> {
    let objects = repository.odb().during("open the objects")?;
    let missing: BTreeSet<Oid> =
        wanted.iter().copied().filter(|id| depth.is_some() || !objects.exists(*id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let kept = shallow(repository.path());
    if (depth.is_some() || !kept.is_empty()) && !advertised.can("shallow") {
        return Err(client.transport("it cannot serve a part of the history; leave out `depth`".to_owned()));
    }
    if !advertised.can("side-band-64k") {
        return Err(client.transport("it is too old: it cannot tell failures apart from contents".to_owned()));
    }
    let request = request(repository, advertised, &missing, &kept, depth)?;
    let mut file = scratch(repository.path())?;
    file.write_all(&request).map_err(|source| file_error(repository.path(), source))?;
    let mut answer = client.call(Service::UploadPack, &mut file)?;
    let changes = receive(repository, client, &mut answer, depth.is_some())?;
    if !changes.is_empty() {
        write_shallow(repository.path(), &kept, &changes)?;
    }
    Ok(())
}

fn request(
    repository: &Repository,
    advertised: &Advertisement,
    wanted: &BTreeSet<Oid>,
    kept: &BTreeSet<Oid>,
    depth: Option<u32>,
) -> Result<Vec<u8>, GitError> {
    let mut abilities = String::new();
    for ability in ["side-band-64k", "ofs-delta", "include-tag", "shallow"] {
        if advertised.can(ability) {
            let _ = write!(abilities, " {ability}");
        }
    }
    let mut request = Vec::new();
    for (index, id) in wanted.iter().enumerate() {
        let abilities = if index == 0 { abilities.as_str() } else { "" };
        packet::push(&mut request, format!("want {id}{abilities}\n").as_bytes());
    }
    for id in kept {
        packet::push(&mut request, format!("shallow {id}\n").as_bytes());
    }
    if let Some(depth) = depth {
        packet::push(&mut request, format!("deepen {depth}\n").as_bytes());
    }
    packet::push_flush(&mut request);
    let mut walk = repository.revwalk().during("walk the history")?;
    walk.set_sorting(Sort::TIME).during("walk the history")?;
    for reference in repository.references().during("list the references")?.flatten() {
        // A reference to something that is no commit, or is not there, says nothing about what is here.
        if let Ok(commit) = reference.peel_to_commit() {
            let _ = walk.push(commit.id());
        }
    }
    for id in walk.flatten().take(MOST_HAVES) {
        packet::push(&mut request, format!("have {id}\n").as_bytes());
    }
    packet::push(&mut request, b"done\n");
    Ok(request)
}

/// A commit that became an end of the history, or stopped to be one.
#[derive(Debug)]
enum Shallow {
    Is(Oid),
    IsNot(Oid),
}

fn receive(
    repository: &Repository,
    client: &Client,
    answer: &mut impl Read,
    is_deepened: bool,
) -> Result<Vec<Shallow>, GitError> {
    let failed = |error: io::Error| client.transport(format!("the answer broke off: {error}"));
    let mut changes = Vec::new();
    loop {
        match packet::read(answer).map_err(failed)? {
            Packet::Data(data) => {
                let line = packet::text(&data);
                if let Some(words) = line.strip_prefix("ERR ") {
                    return Err(refused(client, words));
                } else if let Some(id) = line.strip_prefix("shallow ") {
                    changes.push(Shallow::Is(Oid::from_str(id).during("read the remote's answer")?));
                } else if let Some(id) = line.strip_prefix("unshallow ") {
                    changes.push(Shallow::IsNot(Oid::from_str(id).during("read the remote's answer")?));
                } else if line == "NAK" || line.starts_with("ACK ") {
                    break;
                } else {
                    return Err(client.transport("it does not answer in git's protocol".to_owned()));
                }
            }
            Packet::Flush if is_deepened => {}
            Packet::Flush | Packet::End => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }
    let objects = repository.odb().during("open the objects")?;
    let mut writer = objects.packwriter().during("receive objects")?;
    let mut bytes = 0_u64;
    loop {
        match packet::read(answer).map_err(failed)? {
            // One for each commit that both have; the first one ended the negotiation.
            Packet::Data(data) if data.starts_with(b"ACK ") => {}
            Packet::Data(data) => match data.split_first() {
                Some((&PACK, pack)) => {
                    bytes += pack.len() as u64;
                    let source = |_| git2::Error::last_error(-1);
                    writer.write_all(pack).map_err(source).during("receive objects")?;
                }
                Some((&NEWS, _)) | None => {}
                Some((&FAILURE, words)) => return Err(refused(client, &packet::text(words))),
                Some(_) => return Err(client.transport("it does not answer in git's protocol".to_owned())),
            },
            Packet::Flush | Packet::End => break,
        }
    }
    if bytes == 0 {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    writer.commit().during("check the objects received")?;
    Ok(changes)
}

fn refused(client: &Client, words: &str) -> GitError {
    let reason = packet::printable(words);
    if reason.contains("not our ref") {
        let place = format!("that {} gives away", client.url());
        return GitError::NoRevision { name: "as requested".to_owned(), place };
    }
    GitError::RemoteRejected { url: client.url().to_string(), reason }
}

fn file_error(path: &Path, source: io::Error) -> GitError {
    GitError::File { action: "write below", path: path.to_string_lossy().into_owned(), source }
}

/// Returns a file that has no name any more, on the disk of the repository.
pub fn scratch(directory: &Path) -> Result<File, GitError> {
    let path = directory.join(format!("daytona-request-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.map_err(|source| file_error(directory, source))?;
    std::fs::remove_file(&path).map_err(|source| file_error(directory, source))?;
    Ok(file)
}

/// Returns where the history that is here ends although it goes on elsewhere (gitrepository-layout(5)).
fn shallow(directory: &Path) -> BTreeSet<Oid> {
    const MOST_BYTES: u64 = 16 << 20;
    let mut text = String::new();
    if let Ok(file) = File::open(directory.join("shallow")) {
        let _ = file.take(MOST_BYTES).read_to_string(&mut text);
    }
    text.lines().filter_map(|line| Oid::from_str(line).ok()).collect()
}

fn write_shallow(directory: &Path, kept: &BTreeSet<Oid>, changes: &[Shallow]) -> Result<(), GitError> {
    let mut ends = kept.clone();
    for change in changes {
        match change {
            Shallow::Is(id) => ends.insert(*id),
            Shallow::IsNot(id) => ends.remove(id),
        };
    }
    let path = directory.join("shallow");
    let new = directory.join("shallow.lock");
    let text: String = ends.iter().fold(String::new(), |mut text, id| {
        let _ = writeln!(text, "{id}");
        text
    });
    let written = if text.is_empty() {
        std::fs::remove_file(&path)
    } else {
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path))
    };
    written.map_err(|source| file_error(directory, source))
}
