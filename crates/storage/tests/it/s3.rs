//! Objects in a bucket of a real S3 server: Versity's gateway, which the test installs by itself where there is Go.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use storage::Key;
use storage::error::Cause;
use storage::settings::{S3, Settings};
use types::SystemRandom;

use crate::ground::{Ground, an_unfinished_object_never_was, content, explain, objects_are_kept, shelf};

const MODULE: &str = "github.com/versity/versitygw/cmd/versitygw";
const VERSION: &str = "v1.8.0";
const BUCKET: &str = "sandboxes-of-the-test";
const ACCESS_KEY: &str = "the-id-of-the-key";
const SECRET_KEY: &str = "the-key-that-nobody-may-see";

/// Finds the server's program, building it once for all runs; says why when it cannot.
fn program() -> Option<PathBuf> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let program = tools.join(format!("versitygw-{VERSION}"));
    if program.is_file() {
        return Some(program);
    }
    std::fs::create_dir_all(&tools).unwrap();
    let building = tempfile::tempdir_in(&tools).unwrap();
    let module = format!("{MODULE}@{VERSION}");
    let install = Command::new("go").args(["install", &module]).env("GOBIN", building.path()).output();
    match install {
        Ok(done) if done.status.success() => {
            std::fs::rename(building.path().join("versitygw"), &program).unwrap();
            Some(program)
        }
        Ok(done) => {
            println!("skipped: `go install {module}`: {}", String::from_utf8_lossy(&done.stderr));
            None
        }
        Err(error) => {
            println!("skipped: an S3 server is built with Go, which is not here: {error}");
            None
        }
    }
}

/// A server with one empty bucket; both go with it.
struct Server {
    process: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl Server {
    fn start() -> Option<Self> {
        let program = program()?;
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("files").join(BUCKET)).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .args(["--port", &format!("127.0.0.1:{port}"), "--quiet"])
            .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "posix"])
            .arg(home.path().join("files"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port, home };
        for _ in 0..200 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the S3 server does not listen on port {port}");
    }

    fn settings(&self) -> S3 {
        S3 {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            region: "us-east-1".to_owned(),
            bucket: BUCKET.to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            path_style: true,
        }
    }

    fn ground(&self) -> Ground {
        Ground::open(&Settings::S3(self.settings()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn objects_are_kept_in_a_bucket() {
    let Some(server) = Server::start() else { return };
    let ground = server.ground();
    ground.storage.check().map_err(explain).unwrap();
    objects_are_kept(&ground);
    an_unfinished_object_never_was(&ground);
    // They really are in the bucket.
    let key = Key::new(shelf(), &SystemRandom);
    ground.write(&key, b"bytes").map_err(explain).unwrap();
    let file = server.home.path().join("files").join(BUCKET).join(key.to_string());
    assert_eq!(std::fs::read(file).unwrap(), b"bytes");
}

#[test]
fn what_the_server_refuses_is_told_apart_without_a_key() {
    let Some(server) = Server::start() else { return };
    let right = server.settings();
    for (settings, cause, remedy) in [
        (S3 { secret_key: "wrong-secret".to_owned(), ..right.clone() }, Cause::Refused, "s3_secret_key"),
        (S3 { access_key: "wrong-id".to_owned(), ..right.clone() }, Cause::Refused, "s3_access_key"),
        (
            S3 { bucket: "no-such-bucket".to_owned(), ..right.clone() },
            Cause::BucketMissing,
            "s3_default_bucket",
        ),
    ] {
        let ground = Ground::open(&Settings::S3(settings.clone()));
        let key = Key::new(shelf(), &SystemRandom);
        for failed in [
            ground.write(&key, b"small").unwrap_err(),
            ground.write(&key, &content(9 << 20)).unwrap_err(),
            ground.read(&key).unwrap_err(),
            ground.storage.list(key.shelf).unwrap_err(),
            ground.storage.check().unwrap_err(),
        ] {
            let (found, debug) = (failed.cause(), format!("{failed:?}"));
            let said = format!("{debug} {}", explain(failed));
            assert_eq!(found, cause, "{said}");
            assert!(said.contains(remedy), "{said}");
            for secret in [ACCESS_KEY, SECRET_KEY, &settings.access_key, &settings.secret_key] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }
}

#[test]
fn a_server_that_is_gone_is_told() {
    let Some(mut server) = Server::start() else { return };
    let ground = server.ground();
    let key = Key::new(shelf(), &SystemRandom);
    let mut upload = ground.storage.upload(&key, 0);
    upload.write_all(&content(9 << 20)).unwrap();
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    let written =
        upload.write_all(&content(17 << 20)).map_err(|error| storage::StorageError::of(error).unwrap());
    let failed = written.and_then(|()| upload.finish()).unwrap_err();
    let (found, said) = (failed.cause(), explain(failed));
    assert_eq!(found, Cause::Unreachable, "{said}");
    assert!(said.contains("does not answer") && said.contains("s3_endpoint"), "{said}");
}
