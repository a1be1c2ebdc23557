//! What a verb needs of this machine, and how it gets there: Debian packages, only those that are missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::report;

/// Something that a verb needs and a Debian package brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A C compiler and the static C library: `SQLite` is C, and everything is linked statically.
    Compiler,
    /// A C++ compiler: the engine that fuzzes is C++.
    CppCompiler,
    /// Builds the default image out of Debian packages.
    Mmdebstrap,
    /// Python with virtual environments, for the official Python SDK.
    Python,
    /// Node of version 18 or newer with npm, for the official TypeScript SDK.
    Node,
    /// A browser, for the pages that a sandbox shows.
    Browser,
    /// A static busybox: the smallest root file system, for the runner's tests.
    Busybox,
    /// `nft` and `ip`, with which tests look at what the runner made.
    Network,
    /// `ssh`, `sftp` and `scp`, with which tests speak to the daemon.
    Ssh,
    /// `mke2fs` and `e2fsck`, with which tests check the disks that the runner made.
    Ext4,
    /// `docker-registry`, a real registry, and `skopeo` and `umoci`, which speak to it and unpack images independently.
    Registry,
    /// `buildah`, another builder of images, which must come to the same files.
    Builder,
    /// `mkfs.xfs` and `mkfs.btrfs`: file systems that share blocks between files, for tests of forks.
    SharedBlocks,
}

impl Need {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Compiler => &["gcc", "libc6-dev"],
            Self::CppCompiler => &["g++"],
            Self::Mmdebstrap => &["mmdebstrap", "debian-archive-keyring"],
            Self::Python => &["python3", "python3-venv"],
            Self::Node => &["nodejs", "npm"],
            // The font, so that letters are as wide as they are for a person.
            Self::Browser => &["chromium", "fonts-dejavu-core"],
            Self::Busybox => &["busybox-static"],
            Self::Network => &["nftables", "iproute2"],
            Self::Ssh => &["openssh-client"],
            Self::Ext4 => &["e2fsprogs"],
            Self::Registry => &["docker-registry", "skopeo", "umoci"],
            Self::Builder => &["buildah"],
            Self::SharedBlocks => &["xfsprogs", "btrfs-progs"],
        }
    }

    fn is_met(self) -> bool {
        match self {
            Self::Compiler => process::find("cc").is_some() && has_static_c_library(),
            Self::CppCompiler => process::find("c++").is_some(),
            Self::Mmdebstrap => process::find("mmdebstrap").is_some(),
            Self::Python => process::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])),
            Self::Node => node_major().is_some() && process::find("npm").is_some(),
            Self::Browser => process::find("chromium").is_some() && package_is_installed("fonts-dejavu-core"),
            Self::Busybox => package_is_installed("busybox-static"),
            Self::Network => process::find("nft").is_some() && process::find("ip").is_some(),
            Self::Ssh => ["ssh", "sftp", "scp"].iter().all(|name| process::find(name).is_some()),
            Self::Ext4 => process::find("mke2fs").is_some() && process::find("e2fsck").is_some(),
            Self::Registry => {
                ["docker-registry", "skopeo", "umoci"].iter().all(|name| process::find(name).is_some())
            }
            Self::Builder => process::find("buildah").is_some(),
            Self::SharedBlocks => {
                process::find("mkfs.xfs").is_some() && process::find("mkfs.btrfs").is_some()
            }
        }
    }
}

/// Makes this machine have what is needed, or says what a person has to do.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
        install(&packages)?;
        if let Some(need) = missing.iter().find(|need| !need.is_met()) {
            bail!("{need:?} is still not usable after installing {}", need.packages().join(", "));
        }
    }
    if needs.contains(&Need::Node)
        && let Some(major) = node_major()
        && major < 18
    {
        bail!("node {major} is too old for the TypeScript SDK; install node 18 or newer");
    }
    Ok(())
}

/// Sandboxes are made of namespaces, mounts and cgroups, so the server needs root.
pub(crate) fn ensure_root(verb: &str) -> Result<()> {
    if !is_root() {
        bail!("`cargo x {verb}` starts real sandboxes and needs root; run it in a root shell (`sudo -s`)");
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if process::find("apt-get").is_none() {
        bail!(
            "missing on this machine: {list} (Debian names); there is no apt-get here, so install them yourself"
        );
    }
    if !is_root() {
        bail!("missing on this machine: {list}; run `sudo apt-get install {list}`, or `cargo x` as root");
    }
    let step = report::Step::begin(&format!("installing Debian packages: {list}"));
    // Package lists may be absent or out of date, which shows as a failed install: only then are they fetched.
    if !process::succeeds(&mut apt_install(packages)) {
        let mut update = Command::new("apt-get");
        update.args(["update", "--quiet"]);
        process::announce(&update);
        process::output(&mut update)?;
        let mut again = apt_install(packages);
        process::announce(&again);
        process::output(&mut again)?;
    }
    step.done();
    Ok(())
}

fn apt_install(packages: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|text| text.trim() == "0")
}

fn package_is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f=${db:Status-Status}", package]).stderr(std::process::Stdio::null());
    query.output().is_ok_and(|output| output.stdout == b"installed")
}

fn has_static_c_library() -> bool {
    process::output(Command::new("cc").arg("-print-file-name=libc.a"))
        .is_ok_and(|path| Path::new(path.trim()).is_file())
}

fn node_major() -> Option<u32> {
    process::find("node")?;
    let text = process::output(Command::new("node").arg("--version")).ok()?;
    text.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}
