//! `daytona trust`: makes the authority of this server's certificates known to this host, or forgets it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use fs_err as fs;
use service::flags::Flags;
use service::tls::AUTHORITY;
use service::{config, environment};

use crate::output;

/// The name of the authority among those that a host trusts.
const NAME: &str = "daytona-server.crt";

/// How a family of systems learns whom to trust: where certificates are put, and what takes them in.
struct System {
    anchors: &'static str,
    refresh: &'static [&'static str],
}

/// The families: Fedora's, then Debian's and Alpine's, and last that of SUSE.
const SYSTEMS: [System; 3] = [
    System { anchors: "etc/pki/ca-trust/source/anchors", refresh: &["update-ca-trust", "extract"] },
    System { anchors: "usr/local/share/ca-certificates", refresh: &["update-ca-certificates"] },
    System { anchors: "etc/pki/trust/anchors", refresh: &["update-ca-certificates"] },
];

/// What is to be done with the authority.
pub(crate) struct Asked {
    /// Only print it.
    pub(crate) print: bool,
    /// Trust it no more.
    pub(crate) remove: bool,
    /// A certificate that was copied from the server's host.
    pub(crate) certificate: Option<PathBuf>,
    /// Flags of `daytona server`.
    pub(crate) settings: Vec<String>,
}

pub(crate) fn run(asked: Asked) -> anyhow::Result<()> {
    let system = of_host(Path::new("/"));
    if asked.remove {
        let (system, path) =
            system.context("find where this host keeps authorities: it has no such directory")?;
        return remove(system, &path);
    }
    let path = if let Some(path) = asked.certificate {
        path
    } else {
        let config = config::load(&Flags::parse(asked.settings)?, &environment::of_process())?;
        config.settings.data_dir.join(AUTHORITY)
    };
    let text = fs::read_to_string(&path).context(
        "read the authority's certificate\nhint: the first start of `daytona server` makes it; name the server's \
         directory with --data-dir, or a copy of the file with --certificate",
    )?;
    check(&text)?;
    if asked.print {
        output::data(&text);
        return Ok(());
    }
    let (system, anchor) = system.context(
        "find where this host keeps authorities\nhint: install the package ca-certificates, or add what `daytona \
         trust --print` prints by hand",
    )?;
    fs::write(&anchor, text)?;
    refresh(system)?;
    output::note(&format!("this host trusts the server's certificates now: {}", anchor.display()));
    Ok(())
}

/// Refuses a file that is no certificate, and one that holds a key: nobody is to hand that around.
fn check(text: &str) -> anyhow::Result<()> {
    if text.contains("PRIVATE KEY") || !text.trim_start().starts_with("-----BEGIN CERTIFICATE-----") {
        bail!("the file holds no certificate in PEM, or more than that");
    }
    Ok(())
}

/// Finds the family of the system below `root`, and where the authority is put.
fn of_host(root: &Path) -> Option<(&'static System, PathBuf)> {
    let found = SYSTEMS.iter().find(|system| root.join(system.anchors).is_dir());
    // Debian's directory is missing until somebody uses it.
    let debian = || SYSTEMS.get(1).filter(|_| root.join("etc/ca-certificates.conf").exists());
    let system = found.or_else(debian)?;
    Some((system, root.join(system.anchors).join(NAME)))
}

fn remove(system: &System, anchor: &Path) -> anyhow::Result<()> {
    if !anchor.exists() {
        output::note("this host did not trust the server's certificates");
        return Ok(());
    }
    fs::remove_file(anchor)?;
    refresh(system)?;
    output::note("this host trusts the server's certificates no more");
    Ok(())
}

fn refresh(system: &System) -> anyhow::Result<()> {
    let Some((program, arguments)) = system.refresh.split_first() else { return Ok(()) };
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.with_context(|| format!("run {program}: install the package ca-certificates"))?;
    if !ended.status.success() {
        bail!("{program} ended with {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_place() {
        let root = tempfile::tempdir().unwrap();
        assert!(of_host(root.path()).is_none());
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/ca-certificates.conf"), "").unwrap();
        let (debian, anchor) = of_host(root.path()).unwrap();
        assert_eq!(debian.refresh, ["update-ca-certificates"]);
        assert_eq!(anchor, root.path().join("usr/local/share/ca-certificates/daytona-server.crt"));
        std::fs::create_dir_all(root.path().join("etc/pki/ca-trust/source/anchors")).unwrap();
        let (fedora, _) = of_host(root.path()).unwrap();
        assert_eq!(fedora.refresh, ["update-ca-trust", "extract"]);
    }

    #[test]
    fn a_key_is_handed_to_nobody() {
        let certificate = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
        check(certificate).unwrap();
        assert!(check(&format!("{certificate}-----BEGIN PRIVATE KEY-----\n")).is_err());
        assert!(check("").is_err());
    }
}
