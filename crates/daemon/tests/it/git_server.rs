//! A real git server over HTTP for tests: `git http-backend` behind a small CGI server, with a password, over TLS if asked.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

pub(crate) const USER: &str = "agent";
/// Unlike anything else, so that it can be searched for.
pub(crate) const PASSWORD: &str = "s3cret/&-Zq81 wX%41";

/// What the server does with a request besides serving it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// Whether only [`USER`] with [`PASSWORD`] gets in.
    pub(crate) is_private: bool,
    /// Whether it speaks TLS, with a certificate for `localhost` and `git.test` of a private authority.
    pub(crate) is_encrypted: bool,
    /// Where it sends every list of references, the path appended.
    pub(crate) redirect_to: Option<String>,
    /// Whether it stops in the middle of a pack and never goes on.
    pub(crate) stalls: bool,
    /// What it answers to everything.
    pub(crate) page: Option<&'static str>,
}

/// A server and the repositories that it serves; it lives until the test process ends.
pub(crate) struct GitServer {
    pub(crate) directory: TempDir,
    port: u16,
    is_encrypted: bool,
    requests: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_encrypted = behaviour.is_encrypted;
        let (root, log) = (directory.path().to_owned(), Arc::clone(&requests));
        std::thread::spawn(move || {
            let tls = is_encrypted.then(tls);
            for stream in listener.incoming().flatten() {
                let (root, behaviour, log, tls) =
                    (root.clone(), behaviour.clone(), Arc::clone(&log), tls.clone());
                std::thread::spawn(move || match tls {
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).expect("connection");
                        serve(rustls::StreamOwned::new(connection, stream), &root, &behaviour, &log);
                    }
                    None => serve(stream, &root, &behaviour, &log),
                });
            }
        });
        Self { directory, port, is_encrypted, requests }
    }

    /// Makes a repository with three commits on `main` and one more on `feature`; returns where it is on the disk.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        let bare = self.directory.path().join(name);
        let work = self.directory.path().join(format!("{name}-work"));
        git(self.directory.path(), &["init", "-q", "--bare", "-b", "main", name]);
        git(&bare, &["config", "http.receivepack", "true"]);
        git(self.directory.path(), &["clone", "-q", name, &format!("{name}-work")]);
        for number in 1..=3 {
            std::fs::write(work.join("file.txt"), format!("line {number}\nsame\n")).expect("write");
            std::fs::write(work.join(format!("file-{number}.txt")), "x").expect("write");
            git(&work, &["add", "."]);
            git(&work, &["commit", "-q", "-m", &format!("commit {number}")]);
        }
        git(&work, &["tag", "-a", "v1", "-m", "one", "HEAD~1"]);
        git(&work, &["push", "-q", "origin", "HEAD:main", "v1"]);
        git(&work, &["checkout", "-q", "-b", "feature"]);
        std::fs::write(work.join("feature.txt"), "feature").expect("write");
        git(&work, &["add", "."]);
        git(&work, &["commit", "-q", "-m", "on feature"]);
        git(&work, &["push", "-q", "origin", "feature"]);
        git(&work, &["checkout", "-q", "-B", "main", "origin/main"]);
        bare
    }

    /// Commits a change of a file on the server's `main`, as somebody else would.
    pub(crate) fn change(&self, name: &str, file: &str, text: &str) -> String {
        let work = self.directory.path().join(format!("{name}-work"));
        git(&work, &["pull", "-q", "--rebase", "origin", "main"]);
        std::fs::write(work.join(file), text).expect("write");
        git(&work, &["add", "."]);
        git(&work, &["commit", "-q", "-m", &format!("somebody else changes {file}")]);
        git(&work, &["push", "-q", "origin", "HEAD:main"]);
        git(&work, &["rev-parse", "HEAD"])
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.origin())
    }

    pub(crate) fn origin(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// The first lines of the requests so far, each with the credentials that came with it.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("log").clone()
    }
}

/// Runs git on this machine without anybody's settings; returns what it prints.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for (name, value) in [("NAME", "Somebody Else"), ("EMAIL", "else@example.com")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let output = command.output().expect("these tests need git on the machine: apt-get install git");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} in {}: {error}", directory.display());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/certificate").join(name)
}

/// The file of the private authority.
pub(crate) fn authority() -> PathBuf {
    certificate("authority.pem")
}

fn tls() -> Arc<rustls::ServerConfig> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate("server.pem"))
        .expect("file")
        .map(|one| one.expect("PEM"))
        .collect();
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, key).expect("certificate"))
}

/// Serves one request.
fn serve(stream: impl Read + Write, root: &Path, behaviour: &Behaviour, log: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        // A client that turns away, as from a certificate that it does not trust.
        if !stream.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            return;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let header = |name: &str| {
        let found = head.iter().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    let authorization = header("authorization");
    log.lock().expect("log").push(format!("{} {authorization}", head[0]).trim().to_owned());
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let words: Vec<&str> = head[0].split(' ').collect();
    let (path, query) = words[1].split_once('?').unwrap_or((words[1], ""));
    let answer = if let Some(page) = behaviour.page {
        plain("200 OK", "Content-Type: text/html\r\n", page)
    } else if let Some(target) = &behaviour.redirect_to {
        plain("302 Found", &format!("Location: {target}{}\r\n", words[1]), "")
    } else if behaviour.is_private
        && authorization != format!("Basic {}", base64(&format!("{USER}:{PASSWORD}")))
    {
        plain("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n", "")
    } else {
        cgi(root, words[0], path, query, &header("content-type"), &body)
    };
    let stream = stream.get_mut();
    if behaviour.stalls && words[0] == "POST" {
        let _ = stream.write_all(&answer[..answer.len() / 2]).and_then(|()| stream.flush());
        // Until the client goes away.
        let _ = stream.read(&mut [0]);
        return;
    }
    let _ = stream.write_all(&answer).and_then(|()| stream.flush());
}

fn plain(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn cgi(root: &Path, method: &str, path: &str, query: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", kind)
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git");
    let mut input = child.stdin.take().expect("stdin");
    let body = body.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(&body);
    });
    let output = child.wait_with_output().expect("answer").stdout;
    let _ = writer.join();
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(0);
    let (headers, body) = output.split_at(end);
    let headers = String::from_utf8_lossy(headers);
    let status = headers.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let mut answer = format!("HTTP/1.1 {status}\r\n{headers}\r\nConnection: close\r\n").into_bytes();
    let body = body.get(4..).unwrap_or_default();
    answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(body);
    answer
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A proxy that connects to wherever it is asked to, and counts how often.
pub(crate) fn proxy() -> (String, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            *counted.lock().expect("count") += 1;
            std::thread::spawn(move || relay(client));
        }
    });
    (url, count)
}

fn relay(mut client: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    let mut server = TcpStream::connect(target).ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut server, &mut client).ok()?;
    client.shutdown(std::net::Shutdown::Both).ok()
}
