//! Sets HEAD, and with it the index and the files, to a commit.

use std::collections::BTreeSet;
use std::path::PathBuf;

use daytona_wire::toolbox::repository::GitResetRequest;
use git2::build::CheckoutBuilder;
use git2::{Commit, Diff, Object, Repository, ResetType};

use crate::checkout;
use crate::error::{During as _, GitError};
use crate::{repository, stage};

const ACTION: &str = "reset";

/// Resets as git does in the mode of the same name (git-reset(1)).
pub fn reset(request: &GitResetRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    let mode = request.mode.as_deref().filter(|mode| !mode.is_empty()).unwrap_or("mixed");
    if !["soft", "mixed", "hard", "merge", "keep"].contains(&mode) {
        let shown: String = mode.chars().take(40).collect();
        let reason = format!("mode `{}` is none; use soft, mixed, hard, merge or keep", shown.escape_debug());
        return Err(GitError::Invalid { reason });
    }
    let target = request.target.as_deref().filter(|target| !target.is_empty());
    let commit = match target {
        Some(target) => Some(commit(&repository::revision(&repository, target)?, target)?),
        None => repository::head_commit(&repository)?,
    };
    let files = request.files.as_deref().unwrap_or_default();
    if !files.is_empty() {
        return reset_files(&repository, commit.as_ref(), mode, files);
    }
    let Some(commit) = commit else {
        let reason = "there is no commit yet to reset to; make one first".to_owned();
        return Err(GitError::Conflict { reason });
    };
    if mode != "soft" && mode != "mixed" {
        repository::work_directory(&repository)?;
    }
    match mode {
        "soft" => repository.reset(commit.as_object(), ResetType::Soft, None).during(ACTION),
        "hard" => hard(&repository, &commit),
        "keep" => {
            checkout::put(&repository, commit.as_object(), ACTION)?;
            repository.reset(commit.as_object(), ResetType::Mixed, None).during(ACTION)
        }
        "merge" => merge(&repository, &commit),
        _ => repository.reset(commit.as_object(), ResetType::Mixed, None).during(ACTION),
    }
}

fn commit<'r>(object: &Object<'r>, target: &str) -> Result<Commit<'r>, GitError> {
    object.peel_to_commit().map_err(|_| GitError::NoRevision {
        name: target.escape_debug().to_string(),
        place: "that is a commit is in this repository".to_owned(),
    })
}

fn reset_files(
    repository: &Repository,
    commit: Option<&Commit<'_>>,
    mode: &str,
    files: &[String],
) -> Result<(), GitError> {
    if mode != "mixed" {
        let reason =
            format!("mode `{mode}` resets everything; leave out `files`, or use /git/restore for them");
        return Err(GitError::Invalid { reason });
    }
    let directory = repository.workdir().unwrap_or_else(|| repository.path());
    let paths: Result<Vec<PathBuf>, GitError> = files
        .iter()
        .map(|file| {
            let path = stage::relative(directory, file)?;
            Ok(if path.as_os_str().is_empty() { PathBuf::from("*") } else { path })
        })
        .collect();
    stage::unstage(repository, commit.map(Commit::as_object), &paths?)
}

/// Files that only the index knows go too; untracked ones stay.
fn hard(repository: &Repository, commit: &Commit<'_>) -> Result<(), GitError> {
    let new = only_in_index(repository, commit)?;
    repository.reset(commit.as_object(), ResetType::Hard, None).during(ACTION)?;
    remove(repository, &new)
}

/// Resets what differs between commit and index, keeps what differs between index and working tree, and refuses where
/// both do.
fn merge(repository: &Repository, commit: &Commit<'_>) -> Result<(), GitError> {
    let tree = commit.tree().during(ACTION)?;
    let index = repository.index().during("open the index")?;
    let unmerged: BTreeSet<PathBuf> = index
        .conflicts()
        .during("read the conflicts")?
        .flatten()
        .filter_map(|conflict| conflict.our.or(conflict.their).or(conflict.ancestor))
        .map(|entry| PathBuf::from(String::from_utf8_lossy(&entry.path).into_owned()))
        .collect();
    let staged = repository.diff_tree_to_index(Some(&tree), Some(&index), None).during("compare files")?;
    let changed = repository.diff_index_to_workdir(Some(&index), None).during("compare files")?;
    let staged: BTreeSet<PathBuf> = paths(&staged).difference(&unmerged).cloned().collect();
    let changed: BTreeSet<PathBuf> = paths(&changed).difference(&unmerged).cloned().collect();
    let both: Vec<String> =
        staged.intersection(&changed).map(|path| path.to_string_lossy().into_owned()).collect();
    if !both.is_empty() {
        return Err(GitError::DirtyWorktree {
            action: ACTION,
            files: format!(": {}", repository::listed(&both)),
        });
    }
    let new = only_in_index(repository, commit)?;
    let mut builder = CheckoutBuilder::new();
    builder.force().disable_pathspec_match(true);
    let rewritten: BTreeSet<&PathBuf> = staged.union(&unmerged).collect();
    for path in &rewritten {
        builder.path(path);
    }
    if !rewritten.is_empty() {
        repository.checkout_tree(commit.as_object(), Some(&mut builder)).during(ACTION)?;
    }
    repository.reset(commit.as_object(), ResetType::Mixed, None).during(ACTION)?;
    repository.cleanup_state().during(ACTION)?;
    remove(repository, &new)
}

/// Lists files of the index that the commit does not have.
fn only_in_index(repository: &Repository, commit: &Commit<'_>) -> Result<Vec<PathBuf>, GitError> {
    let tree = commit.tree().during(ACTION)?;
    let index = repository.index().during("open the index")?;
    let is_ours = |entry: &git2::IndexEntry| {
        let path = PathBuf::from(String::from_utf8_lossy(&entry.path).into_owned());
        tree.get_path(&path).is_err().then_some(path)
    };
    Ok(index.iter().filter_map(|entry| is_ours(&entry)).collect())
}

/// Removes files that are in no commit and no index any more, unless a link leads to them.
fn remove(repository: &Repository, files: &[PathBuf]) -> Result<(), GitError> {
    let directory = repository::work_directory(repository)?;
    for file in files {
        let mut parent = directory.to_owned();
        let is_real = file.parent().into_iter().flat_map(std::path::Path::components).all(|component| {
            parent.push(component);
            parent.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
        });
        if is_real {
            // Gone already is gone.
            let _ = std::fs::remove_file(directory.join(file));
        }
    }
    Ok(())
}

fn paths(diff: &Diff<'_>) -> BTreeSet<PathBuf> {
    diff.deltas()
        .flat_map(|delta| {
            [delta.old_file().path().map(PathBuf::from), delta.new_file().path().map(PathBuf::from)]
        })
        .flatten()
        .collect()
}
