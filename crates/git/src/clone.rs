//! Clones a repository, or leaves nothing behind.

use std::path::{Path, PathBuf};

use daytona_wire::toolbox::repository::GitCloneRequest;
use git2::{Oid, Repository, RepositoryInitOptions};

use crate::client::{Access, Service};
use crate::error::{During as _, GitError};
use crate::location::Location;
use crate::network::Network;
use crate::remote::{self, Connected};
use crate::repository;

const ACTION: &str = "clone";
const REMOTE: &str = "origin";

/// What a clone makes on the disk, so that it can be taken away again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Made {
    /// The clone's directory.
    pub path: PathBuf,
    /// The directories above it that were missing, the deepest first.
    pub above: Vec<PathBuf>,
    /// Whether the directory itself was there, empty.
    pub was_there: bool,
}

impl Made {
    /// Takes everything away again.
    pub fn discard(&self) -> std::io::Result<()> {
        if self.was_there {
            for entry in std::fs::read_dir(&self.path)?.flatten() {
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let removed = if is_directory {
                    std::fs::remove_dir_all(entry.path())
                } else {
                    std::fs::remove_file(entry.path())
                };
                removed?;
            }
            return Ok(());
        }
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for above in &self.above {
            // One that is in use by somebody else now stays.
            if std::fs::remove_dir(above).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Clones one branch. `announce` hears what will be made before it is made.
pub fn clone(
    network: &Network,
    request: &GitCloneRequest,
    announce: &mut dyn FnMut(&Made),
) -> Result<(), GitError> {
    let depth = match request.depth {
        None | Some(0) => None,
        Some(depth) => {
            Some(u32::try_from(depth).ok().filter(|depth| *depth < 0x7fff_ffff).ok_or_else(|| {
                GitError::Invalid { reason: format!("`depth` is {depth}; use a number of commits from 1") }
            })?)
        }
    };
    let made = place(Path::new(&request.path))?;
    let access = remote::access(network, request.username.as_deref(), request.password.as_ref());
    let access = Access { is_unverified: request.insecure_skip_tls.unwrap_or(false), ..access };
    let mut remote = Connected::new(&absolute(&request.url), &access, Service::UploadPack)?;
    let plan = plan(&remote, request)?;
    announce(&made);
    let outcome = fill(&made.path, &mut remote, &plan, depth);
    if outcome.is_err() {
        // What is left is told by the error that led here.
        let _ = made.discard();
    }
    outcome
}

/// A path of this machine is kept as what it means here, not as what it would mean inside of the clone.
fn absolute(url: &str) -> String {
    match Location::parse(url) {
        Ok((Location::Library(path), _)) if !path.contains("://") => {
            std::path::absolute(&path).map_or(path, |path| path.to_string_lossy().into_owned())
        }
        _ => url.to_owned(),
    }
}

/// What to fetch and what to check out.
#[derive(Debug)]
struct Plan {
    /// The reference that is fetched; `None` when the remote is empty.
    reference: Option<String>,
    /// The branch that HEAD will be on.
    branch: String,
    /// The commit to check out instead of the branch.
    commit: Option<Oid>,
}

fn plan(remote: &Connected, request: &GitCloneRequest) -> Result<Plan, GitError> {
    let advertised = &remote.advertised;
    let missing = |name: &str| GitError::NoRevision {
        name: name.chars().take(200).collect::<String>().escape_debug().to_string(),
        place: format!("is at {}", remote.url()),
    };
    let commit = match request.commit_id.as_deref().filter(|commit| !commit.is_empty()) {
        None => None,
        Some(text) => Some(Oid::from_str(text).ok().filter(|_| text.len() == 40).ok_or_else(|| {
            GitError::Invalid { reason: "`commit_id` is the whole id of a commit, 40 digits".to_owned() }
        })?),
    };
    let reference = match request.branch.as_deref().filter(|branch| !branch.is_empty()) {
        Some(name) => {
            let names = [format!("refs/heads/{name}"), format!("refs/tags/{name}")];
            Some(
                names
                    .into_iter()
                    .find(|name| advertised.find(name).is_some())
                    .ok_or_else(|| missing(name))?,
            )
        }
        None => advertised.head.clone().filter(|head| advertised.find(head).is_some()),
    };
    if reference.is_none() && !advertised.references.is_empty() && commit.is_none() {
        // Its HEAD is on a branch that it does not have.
        return Err(missing("HEAD"));
    }
    let named = reference.as_deref().or(advertised.head.as_deref());
    let branch = named.and_then(|name| name.strip_prefix("refs/heads/")).unwrap_or("main").to_owned();
    Ok(Plan { reference, branch, commit })
}

fn fill(path: &Path, remote: &mut Connected, plan: &Plan, depth: Option<u32>) -> Result<(), GitError> {
    let mut options = RepositoryInitOptions::new();
    options.mkpath(true).external_template(false).no_reinit(true).initial_head(&plan.branch);
    let repository = Repository::init_opts(path, &options).during(ACTION)?;
    let is_branch = plan.reference.as_ref().is_none_or(|name| name.starts_with("refs/heads/"));
    let tracked = if is_branch { plan.branch.as_str() } else { "*" };
    let refspec = format!("+refs/heads/{tracked}:refs/remotes/{REMOTE}/{tracked}");
    repository.remote_with_fetch(REMOTE, &remote.url(), &refspec).during(ACTION)?;
    fetch(&repository, remote, plan, depth)?;
    drop(repository);
    // Opened again, because where a shallow history ends is read then.
    let repository = repository::open(&path.to_string_lossy())?;
    let tip = plan.reference.as_ref().and_then(|name| remote.advertised.find(name)).map(|found| found.target);
    if let Some(tip) = tip.filter(|_| is_branch && plan.reference.is_some()) {
        // With a commit of its own and little depth the branch may not have come.
        if repository.find_commit(tip).is_ok() {
            let name = format!("refs/heads/{}", plan.branch);
            remote::track(&repository, REMOTE, &name, tip)?;
            repository.reference(&name, tip, false, ACTION).during(ACTION)?;
            let mut config = repository.config().during(ACTION)?;
            config.set_str(&format!("branch.{}.remote", plan.branch), REMOTE).during(ACTION)?;
            config.set_str(&format!("branch.{}.merge", plan.branch), &name).during(ACTION)?;
        }
    }
    let detached = match (plan.commit, tip) {
        (Some(commit), _) => Some(commit),
        (None, Some(tip)) if !is_branch => Some(tip),
        _ => None,
    };
    if let Some(id) = detached {
        let object = repository.find_object(id, None).during(ACTION)?;
        let commit = object.peel_to_commit().map_err(|_| no_commit(id, remote))?;
        repository.set_head_detached(commit.id()).during(ACTION)?;
    } else if tip.is_none() {
        return Ok(());
    }
    let mut builder = git2::build::CheckoutBuilder::new();
    builder.force();
    repository.checkout_head(Some(&mut builder)).during("check out the files")
}

/// Fetches what the plan names; a commit that is not on the branch by its id, and where the remote gives nothing away by
/// id, with all its branches.
fn fetch(
    repository: &Repository,
    remote: &mut Connected,
    plan: &Plan,
    depth: Option<u32>,
) -> Result<(), GitError> {
    let reference: Vec<&str> = plan.reference.as_deref().into_iter().collect();
    let Some(commit) = plan.commit else {
        return if reference.is_empty() { Ok(()) } else { remote.fetch(repository, &reference, None, depth) };
    };
    if depth.is_some() {
        match remote.fetch(repository, &[], Some(commit), depth) {
            Err(
                GitError::NoRevision { .. } | GitError::RemoteRejected { .. } | GitError::Transport { .. },
            ) => {}
            other => return other,
        }
    }
    // Without depth: a history that is cut off may not reach the commit.
    if !reference.is_empty() {
        remote.fetch(repository, &reference, None, None)?;
    }
    if repository.find_commit(commit).is_ok() {
        return Ok(());
    }
    if remote.fetch(repository, &[], Some(commit), None).is_ok() && repository.find_commit(commit).is_ok() {
        return Ok(());
    }
    let all = remote.advertised.references.clone();
    let names: Vec<&str> =
        all.iter().map(|one| one.name.as_str()).filter(|name| name.starts_with("refs/heads/")).collect();
    if !names.is_empty() {
        remote.fetch(repository, &names, None, None)?;
    }
    if repository.find_commit(commit).is_ok() { Ok(()) } else { Err(no_commit(commit, remote)) }
}

fn no_commit(id: Oid, remote: &Connected) -> GitError {
    GitError::NoRevision { name: id.to_string(), place: format!("is at {}", remote.url()) }
}

/// Checks that there is room for a clone, and notes what is missing on the way.
fn place(path: &Path) -> Result<Made, GitError> {
    let failed =
        |source| GitError::File { action: "clone into", path: path.to_string_lossy().into_owned(), source };
    match std::fs::read_dir(path) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                let reason =
                    format!("`{}` is not empty; clone into a new or empty directory", path.display());
                return Err(GitError::Conflict { reason });
            }
            return Ok(Made { path: path.to_owned(), above: Vec::new(), was_there: true });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            let reason = format!("`{}` is a file; clone into a new or empty directory", path.display());
            return Err(GitError::Conflict { reason });
        }
        Err(error) => return Err(failed(error)),
    }
    let missing = |above: &&Path| {
        above.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    let above = path.ancestors().skip(1).take_while(missing).map(Path::to_owned).collect();
    Ok(Made { path: path.to_owned(), above, was_there: false })
}
