//! The same Dockerfiles built by Debian's `buildah`: the files must be the same.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

use rustix::fs::lgetxattr;

use super::{Files, build};
use crate::ground::Ground;

/// What the other builder itself puts into an image while it runs a step.
const ITS_OWN: [&str; 8] =
    ["proc", "sys", "dev", "run", "etc/hosts", "etc/resolv.conf", "etc/hostname", "var"];

/// What is compared of a file: kind and mode, owners, and what it holds or leads to. Not the size of directories, which
/// is a matter of the file system, nor times, which are when each was built.
type Look = (u32, u32, u32, Vec<u8>);

fn look(path: &Path) -> Look {
    let found = std::fs::symlink_metadata(path).unwrap();
    let content = if found.is_symlink() {
        std::fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
    } else if found.is_file() {
        std::fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    (found.mode(), found.uid(), found.gid(), content)
}

/// Adds a layer to a tree as an overlay does.
fn add(tree: &mut BTreeMap<String, Look>, layer: &Path, inner: &str) {
    for entry in std::fs::read_dir(layer.join(inner)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if inner.is_empty() { name } else { format!("{inner}/{name}") };
        let kind = entry.file_type().unwrap();
        let below = format!("{path}/");
        let mut opaque = [0; 1];
        let hides = lgetxattr(entry.path(), "trusted.overlay.opaque", &mut opaque[..]).is_ok();
        if !kind.is_dir() || hides {
            tree.retain(|known, _| *known != path && !known.starts_with(&below));
        }
        if kind.is_char_device() {
            continue;
        }
        tree.insert(path.clone(), look(&entry.path()));
        if kind.is_dir() {
            add(tree, layer, &path);
        }
    }
}

fn compared(mut tree: BTreeMap<String, Look>) -> BTreeMap<String, Look> {
    tree.retain(|path, _| !ITS_OWN.iter().any(|own| path == own || path.starts_with(&format!("{own}/"))));
    tree
}

/// Another builder with a store of its own.
struct Buildah {
    home: tempfile::TempDir,
}

impl Buildah {
    fn call(&self, arguments: &[&str]) -> String {
        let home = self.home.path();
        let output = Command::new("buildah")
            .args([
                "--root",
                home.join("root").to_str().unwrap(),
                "--runroot",
                home.join("run").to_str().unwrap(),
            ])
            .args(["--storage-driver", "vfs"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn build(&self, text: &str, context: &Path, name: &str) {
        let file = self.home.path().join("Dockerfile");
        std::fs::write(&file, text).unwrap();
        let (file, context) = (file.to_str().unwrap(), context.to_str().unwrap());
        self.call(&[
            "bud",
            "--isolation",
            "chroot",
            "--layers",
            "--pull-never",
            "-t",
            name,
            "-f",
            file,
            context,
        ]);
    }
}

#[test]
fn another_builder_makes_the_same_files() {
    if Command::new("buildah").arg("--version").output().is_err() {
        println!("skipped: there is no buildah here; `cargo x test` installs it");
        return;
    }
    let ground = Ground::new();
    let buildah = Buildah { home: tempfile::tempdir().unwrap() };
    let base = buildah.home.path().join("base");
    std::fs::create_dir(&base).unwrap();
    testkit::rootfs::tiny(&base).unwrap();
    buildah.build("FROM scratch\nADD tiny.tar /\nENV PATH=/bin\n", &base, "localhost/tiny");
    let context = buildah.home.path().join("context");
    let given = [
        ("a.txt", "a"),
        ("b.txt", "b"),
        ("c.md", "c"),
        ("d/in/f", "f"),
        ("d/g", "g"),
        ("d/x.log", "x"),
        (".dockerignore", "**/*.log\n"),
    ];
    for (path, content) in given {
        let path = context.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let files = Files::default().with("h", &given);
    for (number, text) in TEXTS.iter().enumerate() {
        let ours = build(&ground, &text.replace("BASE", "tiny"), &files).0;
        let image = ground.host().images().find(&ours.image).unwrap().unwrap();
        let mut tree = BTreeMap::new();
        for layer in image.layers.iter().rev() {
            add(&mut tree, &ground.host().images().layer(layer), "");
        }
        let name = format!("localhost/made{number}");
        buildah.build(&text.replace("BASE", "localhost/tiny"), &context, &name);
        let container = buildah.call(&["from", "--pull-never", &name]);
        let mounted = buildah.call(&["mount", &container]);
        let mut theirs = BTreeMap::new();
        add(&mut theirs, Path::new(&mounted), "");
        let (ours, theirs) = (compared(tree), compared(theirs));
        let only = |one: &BTreeMap<String, Look>, other: &BTreeMap<String, Look>| {
            let differs = one.iter().filter(|(path, look)| other.get(*path) != Some(*look));
            let shown = differs.map(|(path, (mode, user, group, content))| {
                format!(
                    "{path} {mode:o} {user}:{group} {}",
                    String::from_utf8_lossy(content.get(..40).unwrap_or(content))
                )
            });
            shown.collect::<Vec<_>>()
        };
        assert_eq!(only(&ours, &theirs), only(&theirs, &ours), "{text}");
        assert!(ours.len() > 30, "{}", ours.len());
        buildah.call(&["rm", &container]);
    }
}

const TEXTS: [&str; 4] = [
    "FROM BASE\nWORKDIR /t\nCOPY *.txt texts/\nCOPY d all\nCOPY --chown=7:8 --chmod=600 c.md /new/name\n\
     ENV a=1 b=$HOME\nARG c=\"x y\"\nRUN echo \"$a $c\" > said; mkdir -p sub/deep; chmod 700 sub; ln -s said link; rm all/g\n\
     USER daytona\nRUN echo mine > /tmp/mine; id -u > /tmp/who\n",
    "FROM BASE AS one\nRUN mkdir -p /s/sub; echo x > /s/sub/x; chmod 4750 /s/sub/x; chmod 1777 /s\n\
     FROM BASE\nRUN ln -s /real /way; mkdir /real; rm /etc/group\nCOPY --from=one /s /way/s\n\
     COPY --from=one /s/sub/x /way/\nADD a.txt /added/\n",
    "FROM BASE\nRUN mkdir /kept /gone; echo 1 > /gone/1; echo 1 > /kept/1\nRUN rm -r /gone; mkdir /gone; echo 2 > /gone/2\n\
     RUN [\"sh\", \"-c\", \"echo ${HOME} > /kept/exec\"]\nCOPY a.txt /kept/1\nCOPY d/in d/g /kept/\n",
    "FROM BASE\nWORKDIR /app\nCOPY . .\nCOPY --chown=daytona:daytona d/ /home/daytona/d/\nENV HOME=/app\nWORKDIR ${HOME}/x/../y\n\
     RUN --mount=type=tmpfs,target=/app/empty echo \"${none:-default} $HOME\" > said\n",
];
