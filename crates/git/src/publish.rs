//! Pushes a branch to a remote.

use daytona_wire::toolbox::repository::GitPushRequest;
use git2::{BranchType, Repository};

use crate::client::Service;
use crate::error::{During as _, GitError};
use crate::network::Network;
use crate::remote::{self, Connected};
use crate::repository;

/// Pushes; what is there already is fine. Never forced.
pub fn push(network: &Network, request: &GitPushRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    let asked = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let branch = match asked(&request.branch) {
        Some(branch) => branch,
        None => repository::current_branch(&repository)?.ok_or_else(|| GitError::Conflict {
            reason: "HEAD is on no branch; name the `branch` to push".to_owned(),
        })?,
    };
    repository::check_branch_name(&branch)?;
    let own = format!("refs/heads/{branch}");
    let tip =
        repository.find_branch(&branch, BranchType::Local).and_then(|found| found.get().peel_to_commit());
    let tip = tip.map_err(|_| GitError::NoRevision {
        name: branch.clone(),
        place: "with a commit is in this repository".to_owned(),
    })?;
    let (remote_name, theirs) = target(&repository, &own, asked(&request.remote));
    let url = remote::url(&repository, &remote_name, true)?;
    let access = remote::access(network, request.username.as_deref(), request.password.as_ref());
    let mut remote = Connected::new(&url, &access, Service::ReceivePack)?;
    remote.push(&repository, &own, &theirs, tip.id())?;
    remote::track(&repository, &remote_name, &theirs, tip.id())?;
    if request.set_upstream.unwrap_or(false) {
        remote::follow(&repository, &remote_name, &theirs)?;
        let mut config = repository.config().during("note the upstream branch")?;
        config
            .set_str(&format!("branch.{branch}.remote"), &remote_name)
            .during("note the upstream branch")?;
        config.set_str(&format!("branch.{branch}.merge"), &theirs).during("note the upstream branch")?;
    }
    Ok(())
}

/// Which remote and which branch of it: the upstream where one is set for that remote, else the same name.
fn target(repository: &Repository, own: &str, asked: Option<String>) -> (String, String) {
    let text = |name: Result<git2::Buf, git2::Error>| name.ok()?.as_str().ok().map(str::to_owned);
    let remote = text(repository.branch_upstream_remote(own));
    let merge = text(repository.branch_upstream_merge(own)).filter(|name| name.starts_with("refs/heads/"));
    let merge = merge.filter(|_| asked.is_none() || asked == remote);
    (asked.or(remote).unwrap_or_else(|| "origin".to_owned()), merge.unwrap_or_else(|| own.to_owned()))
}
