//! Commits: made and listed.

use daytona_wire::toolbox::repository::{GitCommitInfo, GitCommitRequest, GitCommitResponse};
use git2::{Repository, Signature, Sort, Time};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::error::{During as _, GitError};
use crate::repository;

const ACTION: &str = "commit";
/// More than anybody reads at once; the answer is kept in memory.
const MOST_COMMITS: usize = 50_000;
const MOST_BYTES: usize = 16 << 20;

/// Commits what the index holds.
pub fn commit(request: &GitCommitRequest) -> Result<GitCommitResponse, GitError> {
    let mut repository = repository::open(&request.path)?;
    if request.message.trim().is_empty() {
        return Err(GitError::Invalid { reason: "`message` is empty; say what the commit does".to_owned() });
    }
    let author = signature(&request.author, &request.email)?;
    let mut index = repository.index().during("open the index")?;
    if index.has_conflicts() {
        let files = conflicts(&index)?;
        return Err(GitError::MergeConflict { action: ACTION, files: repository::listed(&files) });
    }
    let mut merged = Vec::new();
    repository
        .mergehead_foreach(|id| {
            merged.push(*id);
            true
        })
        .or_else(|error| if error.code() == git2::ErrorCode::NotFound { Ok(()) } else { Err(error) })
        .during("read what is being merged")?;
    let tree = index.write_tree().during("write the files of the commit")?;
    let tree = repository.find_tree(tree).during(ACTION)?;
    let head = repository::head_commit(&repository)?;
    let unchanged = head.as_ref().map_or(tree.is_empty(), |head| head.tree_id() == tree.id());
    if unchanged && merged.is_empty() && !request.allow_empty.unwrap_or(false) {
        let reason =
            "nothing is staged that differs from the last commit; add files first, or send `allow_empty`";
        return Err(GitError::Conflict { reason: reason.to_owned() });
    }
    let merged: Result<Vec<_>, _> = merged.into_iter().map(|id| repository.find_commit(id)).collect();
    let merged = merged.during("read what is being merged")?;
    let parents: Vec<&git2::Commit<'_>> = head.iter().chain(&merged).collect();
    let message = git2::message_prettify(request.message.as_str(), None).during("read the message")?;
    let id = repository.commit(Some("HEAD"), &author, &author, &message, &tree, &parents).during(ACTION)?;
    repository.cleanup_state().during("end the merge")?;
    Ok(GitCommitResponse { hash: id.to_string() })
}

/// Lists the files that a merge could not decide.
pub fn conflicts(index: &git2::Index) -> Result<Vec<String>, GitError> {
    let conflicts = index.conflicts().during("read the conflicts")?;
    let entries =
        conflicts.flatten().filter_map(|conflict| conflict.our.or(conflict.their).or(conflict.ancestor));
    Ok(entries.map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect())
}

fn signature(name: &str, email: &str) -> Result<Signature<'static>, GitError> {
    let is_wrong = |text: &str| {
        text.trim().is_empty() || text.contains(|letter: char| letter.is_control() || "<>".contains(letter))
    };
    let signature = if is_wrong(name) || is_wrong(email) { None } else { Signature::now(name, email).ok() };
    signature.ok_or_else(|| GitError::Invalid {
        reason: "`author` and `email` are both required, without `<`, `>` and control characters".to_owned(),
    })
}

/// Lists the commits that lead to HEAD, the newest first; the newest 50,000 or 16 MiB of them when there are more.
pub fn history(path: &str) -> Result<Vec<GitCommitInfo>, GitError> {
    let repository = repository::open(path)?;
    let Some(head) = repository::head_commit(&repository)? else { return Ok(Vec::new()) };
    let mut walk = repository.revwalk().during("walk the history")?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME).during("walk the history")?;
    walk.push(head.id()).during("walk the history")?;
    let mut commits = Vec::new();
    let mut bytes = 0;
    for id in walk.take(MOST_COMMITS) {
        let info = info(&repository, id.during("walk the history")?)?;
        bytes += info.message.len() + info.author.len() + info.email.len();
        if bytes > MOST_BYTES {
            break;
        }
        commits.push(info);
    }
    Ok(commits)
}

fn info(repository: &Repository, id: git2::Oid) -> Result<GitCommitInfo, GitError> {
    let commit = repository.find_commit(id).during("read a commit")?;
    let author = commit.author();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(GitCommitInfo {
        hash: id.to_string(),
        // The line feed at the end is part of how messages are kept, not of what they say.
        message: text(commit.message_bytes()).trim_end().to_owned(),
        author: text(author.name_bytes()),
        email: text(author.email_bytes()),
        timestamp: timestamp(author.when()),
    })
}

/// Writes a time as RFC 3339 with its own offset. A commit may claim any time; one that no calendar has becomes the
/// beginning of time.
fn timestamp(time: Time) -> String {
    let moment = Timestamp::from_second(time.seconds()).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = Offset::from_seconds(time.offset_minutes().saturating_mul(60)).unwrap_or(Offset::UTC);
    moment.to_zoned(TimeZone::fixed(offset)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_offset_and_never_fail() {
        assert_eq!(timestamp(Time::new(0, 0)), "1970-01-01T00:00:00+00:00");
        assert_eq!(timestamp(Time::new(1_700_000_000, 330)), "2023-11-15T03:43:20+05:30");
        assert_eq!(timestamp(Time::new(1_700_000_000, -480)), "2023-11-14T14:13:20-08:00");
        assert_eq!(timestamp(Time::new(i64::MAX, i32::MAX)), "1970-01-01T00:00:00+00:00");
    }

    #[test]
    fn an_author_needs_name_and_address() {
        for (name, email) in [("", "e"), ("n", ""), (" ", "e"), ("n", "e>\n"), ("a<b", "e"), ("n\0", "e")] {
            assert!(signature(name, email).is_err(), "{name:?} {email:?}");
        }
        assert!(signature("Ada Lovelace", "ada@example.com").is_ok());
    }
}
