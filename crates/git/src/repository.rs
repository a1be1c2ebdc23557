//! Opening and making repositories, and finding things in them.

use std::path::Path;

use daytona_wire::toolbox::repository::GitInitRequest;
use git2::{ErrorCode, Object, Reference, Repository, RepositoryInitOptions, RepositoryOpenFlags, Signature};

use crate::error::{During as _, GitError};

/// Opens the repository whose top directory is `path`; a directory inside of one is none.
pub fn open(path: &str) -> Result<Repository, GitError> {
    let nowhere_above: [&Path; 0] = [];
    let opened = Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, nowhere_above);
    opened.map_err(|source| match source.code() {
        ErrorCode::NotFound => GitError::NoRepository { path: path.to_owned() },
        ErrorCode::Owner => GitError::ForeignRepository { path: path.to_owned() },
        _ => GitError::Library { action: "open the repository", source },
    })
}

/// Makes a repository.
pub fn init(request: &GitInitRequest) -> Result<(), GitError> {
    let is_bare = request.bare.unwrap_or(false);
    let branch = request.initial_branch.as_deref().filter(|branch| !branch.is_empty());
    if let Some(branch) = branch {
        check_branch_name(branch)?;
    }
    let mut options = RepositoryInitOptions::new();
    // Templates bring hooks, which are nobody's wish here.
    options.bare(is_bare).mkpath(true).external_template(false).no_reinit(true);
    if let Some(branch) = branch {
        options.initial_head(branch);
    }
    match Repository::init_opts(&request.path, &options) {
        Ok(_) => Ok(()),
        Err(error) if error.code() == ErrorCode::Exists => Err(GitError::Conflict {
            reason: format!("`{}` is a repository already; use it, or choose another path", request.path),
        }),
        Err(source) => Err(GitError::Library { action: "make a repository", source }),
    }
}

/// Refuses what no branch can be called.
pub fn check_branch_name(name: &str) -> Result<(), GitError> {
    if git2::Branch::name_is_valid(name).unwrap_or(false) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let reason =
        format!("`{}` cannot be the name of a branch; see git-check-ref-format(1)", shown.escape_debug());
    Err(GitError::Invalid { reason })
}

/// Returns the branch that HEAD is on, whether or not it has a commit; `None` when HEAD is on a commit itself.
pub fn current_branch(repository: &Repository) -> Result<Option<String>, GitError> {
    let head = repository.find_reference("HEAD").during("read HEAD")?;
    let target = head.symbolic_target_bytes().map(String::from_utf8_lossy);
    Ok(target.and_then(|target| target.strip_prefix("refs/heads/").map(str::to_owned)))
}

/// Returns HEAD, `None` when its branch has no commit yet.
pub fn head(repository: &Repository) -> Result<Option<Reference<'_>>, GitError> {
    match repository.head() {
        Ok(head) => Ok(Some(head)),
        Err(error) if error.code() == ErrorCode::UnbornBranch => Ok(None),
        Err(source) => Err(GitError::Library { action: "read HEAD", source }),
    }
}

/// Returns the commit of HEAD, `None` when its branch has none yet.
pub fn head_commit(repository: &Repository) -> Result<Option<git2::Commit<'_>>, GitError> {
    head(repository)?.map(|head| head.peel_to_commit()).transpose().during("read HEAD")
}

/// Finds what a revision such as a branch, a tag or the beginning of a commit's id means.
pub fn revision<'r>(repository: &'r Repository, text: &str) -> Result<Object<'r>, GitError> {
    let missing = || GitError::NoRevision {
        name: text.chars().take(200).collect::<String>().escape_debug().to_string(),
        place: "is in this repository".to_owned(),
    };
    match repository.revparse_single(text) {
        Ok(object) => Ok(object),
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => Err(missing()),
        Err(source) => Err(GitError::Library { action: "find the revision", source }),
    }
}

/// Returns who commits where a request does not say.
pub fn identity(repository: &Repository) -> Result<Signature<'static>, GitError> {
    repository.signature().map_err(|_| GitError::Invalid {
        reason: "git does not know who you are; set name and email with /git/config/user".to_owned(),
    })
}

/// Refuses an operation that needs files where there are none.
pub fn work_directory(repository: &Repository) -> Result<&Path, GitError> {
    repository.workdir().ok_or_else(|| GitError::Conflict {
        reason: "the repository is bare: it has no working tree; clone it and work in the clone".to_owned(),
    })
}

/// Lists paths for a message.
pub fn listed(paths: &[String]) -> String {
    const MOST: usize = 10;
    let shown: Vec<String> =
        paths.iter().take(MOST).map(|path| format!("`{}`", path.escape_debug())).collect();
    let more = paths.len().saturating_sub(MOST);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
