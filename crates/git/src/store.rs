//! The file in which git's own `store` helper keeps credentials.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use daytona_wire::toolbox::repository::GitAuthenticateRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::credential::Credentials;
use crate::error::GitError;
use crate::location::Url;
use crate::setting;

/// The file's name in the home directory (git-credential-store(1)).
const FILE_NAME: &str = ".git-credentials";
/// More than anybody keeps there.
const MOST_BYTES: u64 = 1 << 20;
/// What stands as it is in the file.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Finds what is kept for the server of `url`.
pub fn stored(home: &Path, url: &Url) -> Option<Credentials> {
    let text = read(&home.join(FILE_NAME));
    text.lines()
        .filter_map(parse)
        .find(|(kept, _)| kept.is_same_origin(url))
        .map(|(_, credentials)| credentials)
}

/// Keeps credentials for one host where `git` finds them too: in the file of its `store` helper, which is switched on.
/// The file is the user's alone.
pub fn keep(home: &Path, request: &GitAuthenticateRequest) -> Result<(), GitError> {
    let invalid = |reason: &str| GitError::Invalid { reason: reason.to_owned() };
    let is_encrypted = match request.protocol.as_deref().filter(|protocol| !protocol.is_empty()) {
        None | Some("https") => true,
        Some("http") => false,
        Some(_) => return Err(invalid("`protocol` is https or http")),
    };
    let password = request.password.0.as_str();
    if [request.username.as_str(), password].iter().any(|text| text.chars().any(char::is_control)) {
        return Err(invalid("user name and password cannot contain control characters"));
    }
    let Some(credentials) = Credentials::new(Some(&request.username), Some(password)) else {
        return Err(invalid("`username` and `password` are both required"));
    };
    let host = request.host.as_deref().filter(|host| !host.is_empty()).unwrap_or("github.com");
    let (url, None) = Url::parse(is_encrypted, host)? else {
        return Err(invalid(
            "`host` is a name, with a port if need be; the user name has a field of its own",
        ));
    };
    if !url.path.is_empty() {
        return Err(invalid("`host` is a name, with a port if need be, without a path"));
    }
    let path = home.join(FILE_NAME);
    let line = format!(
        "{}://{}:{}@{}",
        url.scheme(),
        utf8_percent_encode(&credentials.username, PLAIN),
        utf8_percent_encode(credentials.password(), PLAIN),
        url.authority()
    );
    // First, because the first that fits is the one that counts; earlier ones of the same user would never be read.
    let mut text = line + "\n";
    for kept in read(&path).lines().filter(|line| !line.is_empty()) {
        let is_replaced = parse(kept)
            .is_some_and(|(other, old)| other.is_same_origin(&url) && old.username == credentials.username);
        if !is_replaced {
            text.push_str(kept);
            text.push('\n');
        }
    }
    write(&path, &text)?;
    setting::use_store(home)
}

fn parse(line: &str) -> Option<(Url, Credentials)> {
    let (scheme, rest) = line.trim().split_once("://")?;
    let is_encrypted = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let (url, _) = Url::parse(is_encrypted, rest).ok()?;
    let authority = rest.split('/').next()?;
    let (name, password) = authority.rsplit_once('@')?.0.split_once(':')?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    Some((url, Credentials::new(decode(name).as_deref(), decode(password).as_deref())?))
}

/// Reads the file; what is missing, unreadable or no file counts as empty.
fn read(path: &Path) -> String {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut text = String::new();
    if let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path)
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
    {
        let _ = file.take(MOST_BYTES).read_to_string(&mut text);
    }
    text
}

/// Replaces the file in one step, so that a reader sees the old or the new one and nobody else ever sees either.
fn write(path: &Path, text: &str) -> Result<(), GitError> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let failed = |source| GitError::File {
        action: "keep credentials in",
        path: path.to_string_lossy().into_owned(),
        source,
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    let filled = fill(file, text).and_then(|()| std::fs::rename(&new, path));
    filled.map_err(|source| {
        let _ = std::fs::remove_file(&new);
        failed(source)
    })
}

fn fill(mut file: File, text: &str) -> std::io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
