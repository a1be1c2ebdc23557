//! The smallest image that runs a shell: one static program under many names.

use std::io;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

/// Where Debian's package `busybox-static` puts it.
const BUSYBOX: &str = "/bin/busybox";
/// Names under which the program is linked.
const NAMES: [&str; 25] = [
    "sh", "cat", "echo", "ls", "sleep", "id", "ps", "kill", "dd", "df", "mount", "hostname", "ip", "nc",
    "true", "mkdir", "rm", "chmod", "ln", "seq", "wget", "unshare", "test", "head", "grep",
];

/// Writes a tar archive of a root file system with busybox, a user `daytona` and nothing else.
pub fn tiny(directory: &Path) -> io::Result<PathBuf> {
    tiny_with(directory, "tiny", |_| Ok(()))
}

/// Writes the archive of [`tiny`] as `name.tar`, with what `extend` appends to it.
pub fn tiny_with(
    directory: &Path,
    name: &str,
    extend: impl FnOnce(&mut Builder<std::fs::File>) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let path = directory.join(format!("{name}.tar"));
    let mut archive = Builder::new(std::fs::File::create(&path)?);
    for name in ["bin", "etc", "home", "home/daytona", "proc", "root", "tmp"] {
        let owner = if name == "home/daytona" { 1000 } else { 0 };
        let mode = if name == "tmp" { 0o1777 } else { 0o755 };
        entry(&mut archive, &format!("{name}/"), EntryType::Directory, mode, owner, b"")?;
    }
    let program = std::fs::read(BUSYBOX).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{BUSYBOX}: {error}; install busybox-static, as `cargo x test` does"),
        )
    })?;
    entry(&mut archive, "bin/busybox", EntryType::Regular, 0o755, 0, &program)?;
    for name in NAMES {
        link(&mut archive, &format!("bin/{name}"), "busybox")?;
    }
    let users = b"root:x:0:0:root:/root:/bin/sh\ndaytona:x:1000:1000::/home/daytona:/bin/sh\n";
    entry(&mut archive, "etc/passwd", EntryType::Regular, 0o644, 0, users)?;
    entry(&mut archive, "etc/group", EntryType::Regular, 0o644, 0, b"root:x:0:\ndaytona:x:1000:\n")?;
    extend(&mut archive)?;
    archive.finish()?;
    Ok(path)
}

/// Appends one entry to an archive; also used by tests that make hostile ones.
pub fn entry(
    archive: &mut Builder<impl io::Write>,
    path: &str,
    kind: EntryType,
    mode: u32,
    owner: u64,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(content.len() as u64);
    header.set_path(path)?;
    header.set_cksum();
    archive.append(&header, content)
}

/// Appends a symbolic link.
pub fn link(archive: &mut Builder<impl io::Write>, path: &str, target: &str) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_mode(0o777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_path(path)?;
    header.set_link_name(target)?;
    header.set_cksum();
    archive.append(&header, io::empty())
}
