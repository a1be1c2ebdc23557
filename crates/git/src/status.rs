//! What differs from the last commit.

use daytona_wire::toolbox::repository::{FileStatus, GitStatus, Status as Word};
use git2::{Repository, Status, StatusOptions, StatusShow};

use crate::error::{During as _, GitError};
use crate::repository;

/// More than anybody reads; the answer is kept in memory.
const MOST_FILES: usize = 100_000;

/// Returns the state of a repository.
pub fn status(path: &str) -> Result<GitStatus, GitError> {
    let repository = repository::open(path)?;
    repository::work_directory(&repository)?;
    let branch = repository::current_branch(&repository)?;
    let mut status = GitStatus {
        file_status: files(&repository)?,
        detached: branch.is_none(),
        current_branch: branch.clone().unwrap_or_else(|| "HEAD".to_owned()),
        ..GitStatus::default()
    };
    if let Some(branch) = branch {
        compare(&repository, &branch, &mut status)?;
    }
    Ok(status)
}

/// Compares a branch with its upstream; with the branch of the same name of `origin` where none is set.
fn compare(repository: &Repository, branch: &str, status: &mut GitStatus) -> Result<(), GitError> {
    let name = format!("refs/heads/{branch}");
    let configured = repository.branch_upstream_name(&name).ok();
    if let Some(configured) = configured.as_ref().and_then(|name| name.as_str().ok()) {
        configured.strip_prefix("refs/remotes/").unwrap_or(configured).clone_into(&mut status.upstream);
    }
    let origin = format!("refs/remotes/origin/{branch}");
    let upstream = configured.as_ref().and_then(|name| name.as_str().ok()).unwrap_or(&origin);
    let Ok(theirs) = repository.refname_to_id(upstream) else { return Ok(()) };
    status.branch_published = true;
    if let Ok(ours) = repository.refname_to_id(&name) {
        (status.ahead, status.behind) =
            repository.graph_ahead_behind(ours, theirs).during("compare with the upstream branch")?;
    }
    Ok(())
}

fn files(repository: &Repository) -> Result<Vec<FileStatus>, GitError> {
    let mut options = StatusOptions::new();
    options
        .show(StatusShow::IndexAndWorkdir)
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .renames_head_to_index(true)
        // What cannot be read is told as changed rather than left out.
        .include_unreadable(true);
    let statuses = repository.statuses(Some(&mut options)).during("compare files")?;
    if statuses.len() > MOST_FILES {
        return Err(GitError::Conflict {
            reason: format!(
                "{} files differ, more than the {MOST_FILES} that one answer lists; name what is no source in \
                 .gitignore, or use `git status` with /process/execute",
                statuses.len()
            ),
        });
    }
    Ok(statuses
        .iter()
        .filter(|entry| !entry.status().intersects(Status::IGNORED))
        .map(|entry| {
            let (staging, worktree) = words(entry.status());
            let delta = entry.head_to_index();
            let path = |file: git2::DiffFile<'_>| {
                file.path_bytes().map(|path| String::from_utf8_lossy(path).into_owned()).unwrap_or_default()
            };
            let name = String::from_utf8_lossy(entry.path_bytes()).into_owned();
            match delta.filter(|_| staging == Word::Renamed) {
                Some(delta) => FileStatus {
                    name: path(delta.new_file()),
                    extra: path(delta.old_file()),
                    staging,
                    worktree,
                },
                None => FileStatus { name, extra: String::new(), staging, worktree },
            }
        })
        .collect())
}

fn words(status: Status) -> (Word, Word) {
    if status.is_conflicted() {
        return (Word::UpdatedButUnmerged, Word::UpdatedButUnmerged);
    }
    if status.is_wt_new() && !status.is_index_deleted() {
        return (Word::Untracked, Word::Untracked);
    }
    let staging = if status.is_index_renamed() {
        Word::Renamed
    } else if status.is_index_new() {
        Word::Added
    } else if status.is_index_deleted() {
        Word::Deleted
    } else if status.is_index_modified() || status.is_index_typechange() {
        Word::Modified
    } else {
        Word::Unmodified
    };
    let worktree = if status.is_wt_new() {
        Word::Untracked
    } else if status.is_wt_deleted() {
        Word::Deleted
    } else if status.is_wt_renamed() {
        Word::Renamed
    } else if status.intersects(Status::WT_MODIFIED | Status::WT_TYPECHANGE) || status.bits() & (1 << 12) != 0
    {
        // The last one is a file that could not be read, which the binding has no name for.
        Word::Modified
    } else {
        Word::Unmodified
    };
    (staging, worktree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_two_words() {
        for (status, expected) in [
            (Status::WT_NEW, (Word::Untracked, Word::Untracked)),
            (Status::INDEX_NEW, (Word::Added, Word::Unmodified)),
            (Status::INDEX_NEW | Status::WT_MODIFIED, (Word::Added, Word::Modified)),
            (Status::INDEX_NEW | Status::WT_DELETED, (Word::Added, Word::Deleted)),
            (Status::WT_MODIFIED, (Word::Unmodified, Word::Modified)),
            (Status::INDEX_DELETED, (Word::Deleted, Word::Unmodified)),
            (Status::INDEX_DELETED | Status::WT_NEW, (Word::Deleted, Word::Untracked)),
            (Status::INDEX_RENAMED, (Word::Renamed, Word::Unmodified)),
            (Status::INDEX_TYPECHANGE, (Word::Modified, Word::Unmodified)),
            (Status::CONFLICTED, (Word::UpdatedButUnmerged, Word::UpdatedButUnmerged)),
        ] {
            assert_eq!(words(status), expected, "{status:?}");
        }
    }
}
