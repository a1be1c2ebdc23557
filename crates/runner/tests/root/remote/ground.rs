//! A store, a registry, and images of a few files.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use registry::manifest::{Descriptor, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Platform};
use registry::settings::Host;
use registry::{Credentials, Digest, Reference, Settings};
use runner::error::RunnerError;
use runner::image::Store;
use runner::image::pull::{PullOrder, Pulled};
use runner::image::remote::Remote;
use serde_json::json;
use tar::{Builder, EntryType};
use tempfile::TempDir;
use testkit::docker_registry::{DockerRegistry, USER};
use testkit::rootfs::{entry, link};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A store of the test's own, and whoever it speaks to registries with.
pub(crate) struct Place {
    pub(crate) home: TempDir,
    pub(crate) store: Store,
    pub(crate) remote: Remote,
    runtime: Runtime,
}

impl Place {
    /// Makes one that speaks to these registries without TLS.
    pub(crate) fn new(plain: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
        let settings = settings(plain);
        let remote = Remote::open(&settings, runtime.handle().clone()).unwrap();
        Self { store: Store::open(home.path()).unwrap(), home, remote, runtime }
    }

    pub(crate) fn pull(&self, name: &str, credentials: Option<Credentials>) -> Result<Pulled, RunnerError> {
        self.store.pull(&self.remote, &order(name, credentials), &|_| {})
    }

    /// Pushes an image of these archives with the client alone; returns its manifest's digest.
    pub(crate) fn seed(&self, name: &str, credentials: Option<&Credentials>, layers: &[Layer]) -> Digest {
        let client = registry::Client::new(&settings(&[host(name)])).unwrap();
        let target: Reference = name.parse().unwrap();
        let push = client.push(&target, credentials, std::iter::empty()).unwrap();
        let send = |kind: &str, content: &[u8]| {
            let size = u64::try_from(content.len()).unwrap();
            let blob =
                Descriptor { media_type: kind.to_owned(), digest: Digest::of(content), size, platform: None };
            let path = self.home.path().join(format!("seed-{}", blob.digest.hex()));
            std::fs::write(&path, content).unwrap();
            self.runtime.block_on(push.send(&blob, &path, &|_| {})).unwrap();
            std::fs::remove_file(path).unwrap();
            blob
        };
        let blobs: Vec<Descriptor> = layers.iter().map(|layer| send(layer.kind, &layer.packed)).collect();
        let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        let Platform { architecture, os, .. } = Platform::here();
        let configuration = json!({
            "architecture": architecture, "os": os,
            "config": {
                "User": "1000:1000", "WorkingDir": "/srv", "Env": ["PATH=/bin", "A=b=c"], "Entrypoint": ["/bin/sh", "-c"],
                "Cmd": ["true"], "Labels": { "l": "1" }, "ExposedPorts": { "80/tcp": {} },
            },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = send("", configuration.to_string().as_bytes());
        self.runtime.block_on(push.finish(&config, &blobs)).unwrap()
    }

    /// Lists what is in a directory of the store.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.home.path().join("images").join(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn settings(plain: &[&str]) -> Settings {
    let host = Host { plain_http: true, ..Host::default() };
    Settings {
        hosts: plain.iter().map(|name| ((*name).to_owned(), host.clone())).collect::<BTreeMap<_, _>>(),
        silence: Duration::from_secs(30),
        retry_pause: Duration::from_millis(1),
    }
}

/// Returns the registry's part of a name.
pub(crate) fn host(name: &str) -> &str {
    name.split('/').next().unwrap()
}

pub(crate) fn order(name: &str, credentials: Option<Credentials>) -> PullOrder {
    PullOrder {
        reference: name.parse().unwrap(),
        credentials,
        most_bytes: 1 << 30,
        stop: CancellationToken::new(),
    }
}

pub(crate) fn user() -> Credentials {
    Credentials { username: USER.0.to_owned(), password: USER.1.to_owned() }
}

pub(crate) fn open_registry() -> DockerRegistry {
    DockerRegistry::open_to_all().unwrap()
}

/// An archive as a registry has it.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) kind: &'static str,
    pub(crate) packed: Vec<u8>,
    pub(crate) diff_id: Digest,
}

pub(crate) fn gzip(plain: &[u8]) -> Layer {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    Layer { kind: OCI_LAYER_GZIP, packed: encoder.finish().unwrap(), diff_id: Digest::of(plain) }
}

pub(crate) fn zstd(plain: &[u8]) -> Layer {
    let packed = zstd::encode_all(plain, 1).unwrap();
    Layer { kind: OCI_LAYER_ZSTD, packed, diff_id: Digest::of(plain) }
}

pub(crate) fn plain(plain: &[u8]) -> Layer {
    let kind = "application/vnd.oci.image.layer.v1.tar";
    Layer { kind, packed: plain.to_vec(), diff_id: Digest::of(plain) }
}

pub(crate) fn archive(write: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    write(&mut builder);
    builder.into_inner().unwrap()
}

/// One file of some content.
pub(crate) fn file(path: &str, content: &[u8]) -> Vec<u8> {
    archive(|builder| entry(builder, path, EntryType::Regular, 0o644, 0, content).unwrap())
}

/// All that layers can have: files of others, links, hard links, attributes, modes.
pub(crate) fn lower() -> Vec<u8> {
    archive(|builder| {
        for (path, mode, owner) in
            [("dir/", 0o755, 0), ("dir/sub/", 0o2750, 1000), ("gone/", 0o755, 0), ("hidden/", 0o700, 3)]
        {
            entry(builder, path, EntryType::Directory, mode, owner, b"").unwrap();
        }
        entry(builder, "dir/program", EntryType::Regular, 0o4755, 0, b"program").unwrap();
        entry(builder, "dir/sub/owned", EntryType::Regular, 0o640, 1000, b"owned").unwrap();
        entry(builder, "gone/file", EntryType::Regular, 0o644, 0, b"gone").unwrap();
        entry(builder, "hidden/lower", EntryType::Regular, 0o644, 0, b"lower").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(4);
        builder.append_data(&mut header, format!("dir/{}", "long".repeat(40)), &b"long"[..]).unwrap();
        link(builder, "dir/link", "/dir/program").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Link);
        header.set_mode(0o4755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        builder.append_link(&mut header, "dir/hard", "dir/program").unwrap();
        builder.append_pax_extensions([("SCHILY.xattr.user.note", &b"kept"[..])]).unwrap();
        entry(builder, "dir/noted", EntryType::Regular, 0o644, 0, b"noted").unwrap();
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        builder.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])]).unwrap();
        entry(builder, "dir/capable", EntryType::Regular, 0o755, 0, b"capable").unwrap();
    })
}

/// What hides parts of [`lower`].
pub(crate) fn upper() -> Vec<u8> {
    archive(|builder| {
        entry(builder, "dir/sub/.wh.owned", EntryType::Regular, 0, 0, b"").unwrap();
        entry(builder, ".wh.gone", EntryType::Regular, 0, 0, b"").unwrap();
        // Gone and made again: nothing of the old one may show.
        entry(builder, "gone/", EntryType::Directory, 0o755, 0, b"").unwrap();
        entry(builder, "gone/new", EntryType::Regular, 0o644, 0, b"new").unwrap();
        entry(builder, "hidden/", EntryType::Directory, 0o711, 4, b"").unwrap();
        entry(builder, "hidden/upper", EntryType::Regular, 0o644, 0, b"upper").unwrap();
        // The mark may come after what stays.
        entry(builder, "hidden/.wh..wh..opq", EntryType::Regular, 0, 0, b"").unwrap();
        // Hides what is below under the name of what is here.
        entry(builder, "dir/noted", EntryType::Regular, 0o600, 0, b"again").unwrap();
        entry(builder, "dir/.wh.noted", EntryType::Regular, 0, 0, b"").unwrap();
    })
}

/// Says of each file below a directory what it is: kind, mode, owner, time, links, content, attributes. Two trees that
/// look the same to a program give the same.
pub(crate) fn tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let found = std::fs::symlink_metadata(&path).unwrap();
            let who = format!("{:o} {}:{}", found.mode(), found.uid(), found.gid());
            lines.push(if found.is_dir() {
                waiting.push(path.clone());
                format!("{name}/ {who}")
            } else if found.is_symlink() {
                format!("{name} -> {}", std::fs::read_link(&path).unwrap().display())
            } else if found.is_file() {
                let content = Digest::of(&std::fs::read(&path).unwrap());
                let noted = attributes(&path);
                format!("{name} {who} {} {} {content} {noted}", found.nlink(), found.mtime())
            } else {
                format!("{name} {who}")
            });
        }
    }
    lines.sort();
    lines
}

fn attributes(path: &Path) -> String {
    let value = |name: &str| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some(format!("{name}={value:?}"))
    };
    let known = ["user.note", "security.capability"].into_iter().filter_map(value);
    known.collect::<Vec<_>>().join(" ")
}

/// Mounts layers, topmost first, as sandboxes see them, in a namespace of the call's own; returns what [`tree`] says.
pub(crate) fn merged(store: &Store, layers: &[String]) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut lower: Vec<String> =
        layers.iter().map(|layer| store.layer(layer).display().to_string()).collect();
    // A single lower layer cannot be mounted alone.
    lower.push(empty.display().to_string());
    let copy = home.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let script = "mount -t overlay overlay -o ro,lowerdir=\"$0\" \"$1\" && cp -a \"$1/.\" \"$2\"";
    let mountpoint = home.path().join("merged");
    std::fs::create_dir(&mountpoint).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, &lower.join(":")])
        .args([&mountpoint, &copy])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tree(&copy)
}

/// Runs a program of another project, which must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; install it, as `cargo x test` does"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
