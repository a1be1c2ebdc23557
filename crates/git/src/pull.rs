//! Fetches a remote's branch and brings it into the current one.

use daytona_wire::toolbox::repository::GitPullRequest;
use git2::build::CheckoutBuilder;
use git2::{ErrorCode, MergeOptions, Oid, Repository, RepositoryState};

use crate::client::Service;
use crate::error::{During as _, GitError};
use crate::network::Network;
use crate::remote::{self, Connected};
use crate::{checkout, commit, repository};

const ACTION: &str = "pull";

/// Pulls; what is there already is fine.
pub fn pull(network: &Network, request: &GitPullRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    repository::work_directory(&repository)?;
    let Some(current) = repository::current_branch(&repository)? else {
        let reason = "HEAD is on no branch; check one out, then pull".to_owned();
        return Err(GitError::Conflict { reason });
    };
    if repository.state() != RepositoryState::Clean {
        let reason = "a merge or another operation is not finished; commit it, or give it up with /git/reset and mode `hard`";
        return Err(GitError::Conflict { reason: reason.to_owned() });
    }
    let (remote_name, branch) = source(&repository, &current, request);
    let url = remote::url(&repository, &remote_name, false)?;
    let access = remote::access(network, request.username.as_deref(), request.password.as_ref());
    let mut remote = Connected::new(&url, &access, Service::UploadPack)?;
    let name = format!("refs/heads/{branch}");
    let theirs =
        remote.advertised.find(&name).map(|found| found.target).ok_or_else(|| GitError::NoRevision {
            name: branch.escape_debug().to_string(),
            place: format!("is at {}", remote.url()),
        })?;
    remote.fetch(&repository, &[&name], None, None)?;
    remote::track(&repository, &remote_name, &name, theirs)?;
    drop(repository);
    // Opened again, because where a shallow history ends is read then.
    let repository = repository::open(&request.path)?;
    bring_in(&repository, &current, theirs, &format!("{remote_name}/{branch}"))
}

/// Which remote and which branch of it: as requested, else as configured, else of the same name at `origin`.
fn source(repository: &Repository, current: &str, request: &GitPullRequest) -> (String, String) {
    let own = format!("refs/heads/{current}");
    let text = |name: Result<git2::Buf, git2::Error>| name.ok()?.as_str().ok().map(str::to_owned);
    let remote = text(repository.branch_upstream_remote(&own));
    let merge = text(repository.branch_upstream_merge(&own))
        .and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned));
    let asked = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let chosen = asked(&request.remote);
    // What is configured for one remote says nothing about another.
    let merge = merge.filter(|_| chosen.is_none() || chosen == remote);
    let branch = asked(&request.branch).or(merge).unwrap_or_else(|| current.to_owned());
    (chosen.or(remote).unwrap_or_else(|| "origin".to_owned()), branch)
}

fn bring_in(repository: &Repository, current: &str, theirs: Oid, label: &str) -> Result<(), GitError> {
    let name = format!("refs/heads/{current}");
    let commit = repository.find_commit(theirs).during(ACTION)?;
    let Some(ours) = repository::head_commit(repository)? else {
        checkout::put(repository, commit.as_object(), ACTION)?;
        repository.reference(&name, theirs, false, ACTION).during(ACTION)?;
        return Ok(());
    };
    if ours.id() == theirs || repository.graph_descendant_of(ours.id(), theirs).during(ACTION)? {
        return Ok(());
    }
    if repository.graph_descendant_of(theirs, ours.id()).during(ACTION)? {
        checkout::put(repository, commit.as_object(), ACTION)?;
        repository.reference(&name, theirs, true, "pull: fast-forward").during(ACTION)?;
        return Ok(());
    }
    merge(repository, &ours, &commit, label)
}

fn merge(
    repository: &Repository,
    ours: &git2::Commit<'_>,
    theirs: &git2::Commit<'_>,
    label: &str,
) -> Result<(), GitError> {
    // Before anything changes: without it the merge could not be committed.
    let signature = repository::identity(repository)?;
    let annotated = repository.find_annotated_commit(theirs.id()).during(ACTION)?;
    let mut builder = CheckoutBuilder::new();
    builder.safe().allow_conflicts(true).conflict_style_merge(true);
    repository.merge(&[&annotated], Some(&mut MergeOptions::new()), Some(&mut builder)).map_err(
        |source| {
            // Nothing was written; what the library noted of the merge goes again.
            let _ = repository.cleanup_state();
            match source.code() {
                ErrorCode::Conflict | ErrorCode::Uncommitted => {
                    GitError::DirtyWorktree { action: ACTION, files: String::new() }
                }
                _ => GitError::Library { action: ACTION, source },
            }
        },
    )?;
    let mut index = repository.index().during("open the index")?;
    if index.has_conflicts() {
        let files = commit::conflicts(&index)?;
        return Err(GitError::MergeConflict { action: ACTION, files: repository::listed(&files) });
    }
    let tree = index.write_tree().during(ACTION)?;
    let tree = repository.find_tree(tree).during(ACTION)?;
    let message = format!("Merge {label}\n");
    repository
        .commit(Some("HEAD"), &signature, &signature, &message, &tree, &[ours, theirs])
        .during(ACTION)?;
    repository.cleanup_state().during(ACTION)
}
