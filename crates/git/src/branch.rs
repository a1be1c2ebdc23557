//! Branches: listed, made, deleted.

use daytona_wire::toolbox::repository::{GitBranchRequest, GitDeleteBranchRequest, ListBranchResponse};
use git2::{BranchType, ErrorCode};

use crate::error::{During as _, GitError};
use crate::repository;

/// Lists the local branches.
pub fn list(path: &str) -> Result<ListBranchResponse, GitError> {
    let repository = repository::open(path)?;
    let mut branches = Vec::new();
    for branch in repository.branches(Some(BranchType::Local)).during("list the branches")? {
        let (branch, _) = branch.during("list the branches")?;
        let name = branch.name_bytes().during("list the branches")?;
        branches.push(String::from_utf8_lossy(name).into_owned());
    }
    branches.sort();
    Ok(ListBranchResponse { branches, current: repository::current_branch(&repository)?.unwrap_or_default() })
}

/// Makes a branch at HEAD and checks it out; local changes stay.
pub fn create(request: &GitBranchRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    repository::check_branch_name(&request.name)?;
    let name = format!("refs/heads/{}", request.name);
    let exists = || GitError::BranchExists { name: request.name.clone() };
    if repository.find_reference(&name).is_ok()
        || repository::current_branch(&repository)?.as_deref() == Some(request.name.as_str())
    {
        return Err(exists());
    }
    if let Some(commit) = repository::head_commit(&repository)? {
        repository.branch(&request.name, &commit, false).map_err(|source| match source.code() {
            ErrorCode::Exists => exists(),
            _ => GitError::Library { action: "make the branch", source },
        })?;
    }
    // Without a commit HEAD alone says which branch the first one will be on. The files are those of HEAD already.
    repository.set_head(&name).during("check out the new branch")
}

/// Deletes a branch, also one whose commits are on no other.
pub fn delete(request: &GitDeleteBranchRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    repository::check_branch_name(&request.name)?;
    let mut branch = repository.find_branch(&request.name, BranchType::Local).map_err(|_| {
        GitError::NoRevision { name: request.name.clone(), place: "is in this repository".to_owned() }
    })?;
    if branch.is_head() {
        let reason = format!("branch `{}` is checked out; check out another one first", request.name);
        return Err(GitError::Invalid { reason });
    }
    branch.delete().during("delete the branch")
}
