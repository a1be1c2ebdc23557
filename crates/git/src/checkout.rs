//! Puts a branch or a commit into the working tree.

use daytona_wire::toolbox::repository::GitCheckoutRequest;
use git2::build::CheckoutBuilder;
use git2::{BranchType, ErrorCode, Object, Repository};

use crate::error::{During as _, GitError};
use crate::repository;

const ACTION: &str = "check out";

/// Checks out a branch; one that only a remote has, as a new branch that follows it; else a commit.
pub fn checkout(request: &GitCheckoutRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    repository::work_directory(&repository)?;
    let name = request.branch.as_str();
    if name.is_empty() {
        return Err(GitError::Invalid { reason: "`branch` is required: a branch or a commit".to_owned() });
    }
    if let Ok(branch) = repository.find_branch(name, BranchType::Local) {
        let tip = branch.get().peel(git2::ObjectType::Commit).during(ACTION)?;
        put(&repository, &tip, ACTION)?;
        return repository.set_head(&format!("refs/heads/{name}")).during(ACTION);
    }
    if let Some(theirs) = remote_branch(&repository, name)? {
        let commit = theirs.get().peel_to_commit().during(ACTION)?;
        put(&repository, commit.as_object(), ACTION)?;
        let mut branch = repository.branch(name, &commit, false).during(ACTION)?;
        let upstream = String::from_utf8_lossy(theirs.name_bytes().during(ACTION)?).into_owned();
        // A remote that fetches nothing by itself cannot be followed; the branch is there all the same.
        let _ = branch.set_upstream(Some(&upstream));
        return repository.set_head(&format!("refs/heads/{name}")).during(ACTION);
    }
    let object = repository::revision(&repository, name)?;
    let commit = object.peel_to_commit().map_err(|_| GitError::NoRevision {
        name: name.escape_debug().to_string(),
        place: "that is a commit is in this repository".to_owned(),
    })?;
    put(&repository, commit.as_object(), ACTION)?;
    repository.set_head_detached(commit.id()).during(ACTION)
}

/// Finds the branch of that name that exactly one remote has.
fn remote_branch<'r>(repository: &'r Repository, name: &str) -> Result<Option<git2::Branch<'r>>, GitError> {
    let remotes = repository.remotes().during("list the remotes")?;
    let mut found = None;
    for remote in remotes.iter().flatten().flatten() {
        if let Ok(branch) = repository.find_branch(&format!("{remote}/{name}"), BranchType::Remote) {
            if found.is_some() {
                return Ok(None);
            }
            found = Some(branch);
        }
    }
    Ok(found)
}

/// Puts a commit's files into the working tree and the index, unless local changes would be lost.
pub fn put(repository: &Repository, commit: &Object<'_>, action: &'static str) -> Result<(), GitError> {
    let conflicts = std::cell::RefCell::new(Vec::new());
    let mut builder = CheckoutBuilder::new();
    builder.safe().recreate_missing(true).notify_on(git2::CheckoutNotificationType::CONFLICT).notify(
        |_, path, _, _, _| {
            if let Some(path) = path {
                conflicts.borrow_mut().push(path.to_string_lossy().into_owned());
            }
            true
        },
    );
    let outcome = repository.checkout_tree(commit, Some(&mut builder));
    drop(builder);
    let conflicts = conflicts.into_inner();
    outcome.map_err(|source| match source.code() {
        ErrorCode::Conflict => {
            let files = if conflicts.is_empty() {
                String::new()
            } else {
                format!(": {}", repository::listed(&conflicts))
            };
            GitError::DirtyWorktree { action, files }
        }
        _ => GitError::Library { action, source },
    })
}
