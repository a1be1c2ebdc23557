//! Puts files into the index, and takes them back out of it and of commits.

use std::path::{Component, Path, PathBuf};

use daytona_wire::toolbox::repository::{GitAddRequest, GitRestoreRequest};
use git2::build::CheckoutBuilder;
use git2::{Index, IndexAddOption, Object, Repository};

use crate::error::{During as _, GitError};
use crate::repository;

/// Puts files into the index; those that are gone from the working tree leave it.
pub fn add(request: &GitAddRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    let directory = repository::work_directory(&repository)?.to_owned();
    if request.files.is_empty() {
        return Err(GitError::Invalid { reason: "`files` is empty; name files, or `.` for all".to_owned() });
    }
    let mut index = repository.index().during("open the index")?;
    let mut chosen = Vec::new();
    for file in &request.files {
        let path = relative(&directory, file)?;
        let is_there = path.as_os_str().is_empty() || directory.join(&path).symlink_metadata().is_ok();
        if !is_there && !has(&index, &path) && !is_pattern(file) {
            return Err(missing(file));
        }
        chosen.push((path, is_there));
    }
    for (path, is_there) in chosen {
        if path.as_os_str().is_empty() {
            index.add_all(["*"], IndexAddOption::DEFAULT, None).during("add files")?;
        } else if is_there
            && directory.join(&path).symlink_metadata().is_ok_and(|metadata| !metadata.is_dir())
        {
            index.add_path(&path).during("add files")?;
        } else {
            let literal =
                if is_there { IndexAddOption::DISABLE_PATHSPEC_MATCH } else { IndexAddOption::DEFAULT };
            index.add_all([&path], literal, None).during("add files")?;
        }
    }
    index.write().during("write the index")
}

/// Restores files of the working tree, of the index, or both.
pub fn restore(request: &GitRestoreRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    let directory = repository::work_directory(&repository)?.to_owned();
    let is_staged = request.staged.unwrap_or(false);
    let is_worktree = request.worktree.unwrap_or(!is_staged);
    if request.files.is_empty() {
        return Err(GitError::Invalid { reason: "`files` is empty; name files, or `.` for all".to_owned() });
    }
    if !is_staged && !is_worktree {
        return Err(GitError::Invalid {
            reason: "nothing to restore: both `staged` and `worktree` are off".to_owned(),
        });
    }
    let source = request.source.as_deref().filter(|source| !source.is_empty());
    let source = match (source, is_staged) {
        (Some(source), _) => Some(repository::revision(&repository, source)?),
        (None, true) => repository::head_commit(&repository)?.map(git2::Commit::into_object),
        (None, false) => None,
    };
    let index = repository.index().during("open the index")?;
    let mut paths = Vec::new();
    for file in &request.files {
        let path = relative(&directory, file)?;
        let is_all = path.as_os_str().is_empty();
        if !is_all && !has(&index, &path) && !is_in(source.as_ref(), &path)? && !is_pattern(file) {
            return Err(missing(file));
        }
        paths.push(if is_all { PathBuf::from("*") } else { path });
    }
    if is_staged {
        unstage(&repository, source.as_ref(), &paths)?;
    }
    if is_worktree {
        rewrite(&repository, source.as_ref(), &paths)?;
    }
    Ok(())
}

/// Makes the index like a commit for some paths; empty where there is no commit.
pub fn unstage(
    repository: &Repository,
    source: Option<&Object<'_>>,
    paths: &[PathBuf],
) -> Result<(), GitError> {
    let commit = source.map(Object::peel_to_commit).transpose().during("find the commit")?;
    let commit = commit.as_ref().map(git2::Commit::as_object);
    repository.reset_default(commit, paths).during("reset the index")
}

fn rewrite(repository: &Repository, source: Option<&Object<'_>>, paths: &[PathBuf]) -> Result<(), GitError> {
    let mut builder = CheckoutBuilder::new();
    // The index is another part of the request.
    builder.force().update_index(false);
    for path in paths {
        builder.path(path);
    }
    match source {
        Some(source) => repository.checkout_tree(source, Some(&mut builder)),
        None => repository.checkout_index(None, Some(&mut builder)),
    }
    .during("restore files")
}

/// Returns a path relative to the working tree, which it may not leave.
pub fn relative(directory: &Path, file: &str) -> Result<PathBuf, GitError> {
    let invalid = |why: &str| {
        let shown: String = file.chars().take(80).collect();
        Err(GitError::Invalid { reason: format!("`{}` {why}", shown.escape_debug()) })
    };
    if file.is_empty() || file.contains('\0') {
        return invalid("is no path");
    }
    let path = Path::new(file);
    let path = if path.is_absolute() {
        match path.strip_prefix(directory) {
            Ok(path) => path,
            Err(_) => return invalid("is outside of the repository; name files below it"),
        }
    } else {
        path
    };
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::CurDir => {}
            // What `..` means depends on links; nobody needs it here.
            _ => return invalid("has `..` in it; name files below the repository"),
        }
    }
    Ok(relative)
}

fn has(index: &Index, path: &Path) -> bool {
    let mut below = path.as_os_str().to_owned();
    below.push("/");
    index.get_path(path, 0).is_some() || index.conflict_get(path).is_ok() || index.find_prefix(&below).is_ok()
}

fn is_in(source: Option<&Object<'_>>, path: &Path) -> Result<bool, GitError> {
    let Some(source) = source else { return Ok(false) };
    let tree = source.peel_to_tree().during("read the revision")?;
    Ok(tree.get_path(path).is_ok())
}

fn is_pattern(file: &str) -> bool {
    file.contains(['*', '?', '['])
}

fn missing(file: &str) -> GitError {
    let shown: String = file.chars().take(200).collect();
    GitError::NotFound { what: format!("no file of the repository is called `{}`", shown.escape_debug()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_working_tree() {
        let directory = Path::new("/w/r");
        for (file, expected) in
            [("a", "a"), ("./a//b", "a/b"), (".", ""), ("/w/r/x", "x"), ("/w/r", ""), ("é/*", "é/*")]
        {
            assert_eq!(relative(directory, file).expect(file), Path::new(expected), "{file}");
        }
        for file in ["", "..", "a/../b", "../r/a", "/etc/passwd", "/w/r2", "a\0"] {
            relative(directory, file).expect_err(file);
        }
    }
}
