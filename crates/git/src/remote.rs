//! A connected remote, wherever it is; and the list of remotes that a repository knows.

use daytona_wire::toolbox::repository::{GitAddRemoteRequest, GitRemote, ListRemotesResponse, Secret};
use git2::{Direction, ErrorClass, ErrorCode, FetchOptions, Oid, PushOptions, RemoteCallbacks, Repository};

use crate::advertisement::Advertisement;
use crate::client::{Access, Client, Service};
use crate::credential::Credentials;
use crate::error::{During as _, GitError};
use crate::fetch;
use crate::location::{Location, without_credentials};
use crate::network::Network;
use crate::push;
use crate::repository;

/// A remote that has told what it has.
#[derive(Debug)]
pub struct Connected {
    link: Link,
    /// What it has.
    pub advertised: Advertisement,
}

#[derive(Debug)]
enum Link {
    Http(Box<Client>),
    Library(String),
}

/// Returns how to reach a remote: with the credentials of the request, else those in the URL.
pub fn access(network: &Network, username: Option<&str>, password: Option<&Secret>) -> Access {
    let credentials = Credentials::new(username, password.map(|secret| secret.0.as_str()));
    Access { network: network.clone(), credentials, is_unverified: false }
}

impl Connected {
    /// Connects to what `url` names, to fetch from it or to push to it.
    pub fn new(url: &str, access: &Access, service: Service) -> Result<Self, GitError> {
        let (location, in_url) = Location::parse(url)?;
        match location {
            Location::Http(url) => {
                let credentials = access.credentials.clone().or(in_url);
                let mut client = Client::new(url, &Access { credentials, ..access.clone() })?;
                let mut answer = client.advertisement(service)?;
                let advertised = Advertisement::read(&mut answer, service.as_str());
                let advertised = advertised.map_err(|reason| client.transport(reason))?;
                Ok(Self { link: Link::Http(Box::new(client)), advertised })
            }
            Location::Library(url) => {
                let mut remote = git2::Remote::create_detached(url.as_str()).during("open the remote")?;
                let direction =
                    if service == Service::ReceivePack { Direction::Push } else { Direction::Fetch };
                remote.connect(direction).map_err(|source| spoken(&url, source))?;
                let advertised = Advertisement::of(remote.list().map_err(|source| spoken(&url, source))?);
                Ok(Self { link: Link::Library(url), advertised })
            }
        }
    }

    /// Returns where it is, for messages.
    pub fn url(&self) -> String {
        match &self.link {
            Link::Http(client) => client.url().to_string(),
            Link::Library(url) => url.clone(),
        }
    }

    /// Makes objects present: those that the named references point to, and `extra` ones by their id.
    pub fn fetch(
        &mut self,
        repository: &Repository,
        names: &[&str],
        extra: Option<Oid>,
        depth: Option<u32>,
    ) -> Result<(), GitError> {
        let advertised = &self.advertised;
        match &mut self.link {
            Link::Http(client) => {
                let tips = names.iter().filter_map(|name| advertised.find(name)).map(|found| found.target);
                let wanted: Vec<Oid> = tips.chain(extra).collect();
                fetch::fetch(repository, client, advertised, &wanted, depth)?;
            }
            Link::Library(url) => {
                if depth.is_some() {
                    let reason = "`depth` needs a remote that is reached over HTTP; leave it out".to_owned();
                    return Err(GitError::Invalid { reason });
                }
                let mut remote = repository.remote_anonymous(url).during("open the remote")?;
                let mut options = FetchOptions::new();
                options.download_tags(git2::AutotagOption::None).update_fetchhead(false);
                remote.download(names, Some(&mut options)).map_err(|source| spoken(url, source))?;
            }
        }
        self.tags(repository)
    }

    /// Keeps the tags of what has come, as git does.
    fn tags(&self, repository: &Repository) -> Result<(), GitError> {
        let objects = repository.odb().during("open the objects")?;
        for tag in self.advertised.references.iter().filter(|one| one.name.starts_with("refs/tags/")) {
            if !tag.name.ends_with("^{}") && objects.exists(tag.target) {
                // One of that name may be there already: a tag never moves by itself.
                let _ = repository.reference(&tag.name, tag.target, false, "fetch");
            }
        }
        Ok(())
    }

    /// Makes the remote's branch `to` point to what the local branch `from` does.
    pub fn push(&mut self, repository: &Repository, from: &str, to: &str, new: Oid) -> Result<(), GitError> {
        let old = self.advertised.find(to).map(|found| found.target);
        if old == Some(new) {
            return Ok(());
        }
        if let Some(old) = old {
            let rejected =
                |reason: &str| GitError::PushRejected { branch: to.to_owned(), reason: reason.to_owned() };
            if repository.find_commit(old).is_err() {
                return Err(rejected("the remote has commits that are not here"));
            }
            if !repository.graph_descendant_of(new, old).during("compare the histories")? {
                return Err(rejected("the remote has commits that this branch does not have"));
            }
        }
        match &mut self.link {
            Link::Http(client) => push::push(repository, client, &self.advertised, to, old, new),
            Link::Library(url) => push_by_library(repository, url, from, to),
        }
    }
}

fn push_by_library(repository: &Repository, url: &str, from: &str, to: &str) -> Result<(), GitError> {
    let mut refused = None;
    let mut callbacks = RemoteCallbacks::new();
    callbacks.push_update_reference(|_, reason| {
        refused = reason.map(str::to_owned);
        Ok(())
    });
    let mut remote = repository.remote_anonymous(url).during("open the remote")?;
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks);
    let pushed = remote.push(&[format!("{from}:{to}")], Some(&mut options));
    drop(options);
    pushed.map_err(|source| match source.code() {
        ErrorCode::NotFastForward => {
            GitError::PushRejected { branch: to.to_owned(), reason: source.message().to_owned() }
        }
        ErrorCode::BareRepo => {
            GitError::RemoteRejected { url: url.to_owned(), reason: source.message().to_owned() }
        }
        _ => spoken(url, source),
    })?;
    match refused {
        Some(reason) => Err(GitError::RemoteRejected { url: url.to_owned(), reason }),
        None => Ok(()),
    }
}

/// What a failure of libgit2 with a remote means.
fn spoken(url: &str, source: git2::Error) -> GitError {
    let url = url.to_owned();
    match (source.code(), source.class()) {
        (ErrorCode::NotFound, _) => GitError::NoRemoteRepository { url },
        // What the library says of a path where nothing is.
        _ if source.message().contains("unsupported URL protocol") => GitError::NoRemoteRepository { url },
        (ErrorCode::Owner, _) => GitError::ForeignRepository { path: url },
        (_, ErrorClass::Net | ErrorClass::Http | ErrorClass::Os | ErrorClass::Ssl) => {
            GitError::Transport { url, reason: source.message().to_owned() }
        }
        _ => GitError::Library { action: "speak with the remote", source },
    }
}

/// Returns the URL of a remote that the repository knows.
pub fn url(repository: &Repository, name: &str, is_push: bool) -> Result<String, GitError> {
    let shown: String = name.chars().take(80).collect();
    let remote = repository.find_remote(name).map_err(|_| GitError::NotFound {
        what: format!("remote `{}`; add it with /git/remotes, or name another", shown.escape_debug()),
    })?;
    let push_url = if is_push { remote.pushurl().ok().flatten() } else { None };
    let url = match push_url {
        Some(url) => url,
        None => remote.url().during("read the remote's URL")?,
    };
    Ok(url.to_owned())
}

/// Lists the remotes.
pub fn list(path: &str) -> Result<ListRemotesResponse, GitError> {
    let repository = repository::open(path)?;
    let names = repository.remotes().during("list the remotes")?;
    let mut remotes = Vec::new();
    for name in names.iter().flatten().flatten() {
        let remote = repository.find_remote(name).during("read the remote")?;
        let url = without_credentials(&String::from_utf8_lossy(remote.url_bytes()));
        remotes.push(GitRemote { name: name.to_owned(), url });
    }
    remotes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(ListRemotesResponse { remotes })
}

/// Adds a remote, or gives one a new URL.
pub fn add(network: &Network, request: &GitAddRemoteRequest) -> Result<(), GitError> {
    let repository = repository::open(&request.path)?;
    let (location, credentials) = Location::parse(&request.url)?;
    let url = location.to_string();
    let name = request.name.as_str();
    if !git2::Remote::is_valid_name(name) {
        let shown: String = name.chars().take(80).collect();
        let reason = format!("`{}` cannot be the name of a remote", shown.escape_debug());
        return Err(GitError::Invalid { reason });
    }
    match repository.find_remote(name) {
        Ok(_) if !request.overwrite.unwrap_or(false) => {
            let reason = format!("a remote `{name}` exists already; send `overwrite` to replace it");
            return Err(GitError::Conflict { reason });
        }
        Ok(_) => repository.remote_set_url(name, &url).during("change the remote")?,
        Err(_) => repository.remote(name, &url).map(drop).during("add the remote")?,
    }
    if request.fetch.unwrap_or(false) {
        let access = Access { network: network.clone(), credentials, is_unverified: false };
        let mut remote = Connected::new(&url, &access, Service::UploadPack)?;
        let branches: Vec<_> = remote
            .advertised
            .references
            .iter()
            .filter(|one| one.name.starts_with("refs/heads/"))
            .cloned()
            .collect();
        let names: Vec<&str> = branches.iter().map(|branch| branch.name.as_str()).collect();
        if !names.is_empty() {
            remote.fetch(&repository, &names, None, None)?;
        }
        for branch in &branches {
            track(&repository, name, &branch.name, branch.target)?;
        }
    }
    Ok(())
}

/// Makes a remote fetch a branch from now on, unless it does already: after a clone it fetches one only.
pub fn follow(repository: &Repository, remote: &str, branch: &str) -> Result<(), GitError> {
    let known = repository.find_remote(remote).during("read the remote")?;
    if known.refspecs().any(|refspec| refspec.direction() == Direction::Fetch && refspec.src_matches(branch))
    {
        return Ok(());
    }
    let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let refspec = format!("+{branch}:refs/remotes/{remote}/{short}");
    repository.remote_add_fetch(remote, &refspec).during("follow the remote's branch")
}

/// Notes where a remote's branch is.
pub fn track(repository: &Repository, remote: &str, branch: &str, target: Oid) -> Result<(), GitError> {
    let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let name = format!("refs/remotes/{remote}/{short}");
    repository.reference(&name, target, true, "fetch").map(drop).during("note the remote's branch")
}
