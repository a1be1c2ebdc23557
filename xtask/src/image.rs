//! `cargo x image`: builds an image as one archive of a root file system, from a recipe, out of Debian packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use toml::Table;

use crate::machine::{self, Need};
use crate::process;
use crate::report::{self, Step};

/// An image that was built: an archive and what the server has to know of it.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) archive: PathBuf,
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) workdir: String,
}

/// Which recipe of `deploy/images/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    Default,
    Tiny,
    /// The default image with what the tests of the whole toolbox need beside it.
    Toolbox,
}

impl Recipe {
    fn file(self) -> &'static str {
        match self {
            Self::Default => "default.toml",
            Self::Tiny => "tiny.toml",
            Self::Toolbox => "toolbox.toml",
        }
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let tiny = process::take_flag(&mut arguments, "--tiny");
    let toolbox = process::take_flag(&mut arguments, "--toolbox");
    let fresh = process::take_flag(&mut arguments, "--fresh");
    process::refuse_rest("image", &arguments)?;
    let recipe = match (tiny, toolbox) {
        (false, false) => Recipe::Default,
        (true, false) => Recipe::Tiny,
        (false, true) => Recipe::Toolbox,
        (true, true) => bail!("`cargo x image` builds one image at a time: `--tiny` or `--toolbox`"),
    };
    let image = prepare(recipe, fresh)?;
    report::print(&image.archive.display().to_string());
    Ok(())
}

/// Returns the image, building it when no archive of the same recipe lies in the cache or `fresh` asks for it.
pub(crate) fn prepare(recipe: Recipe, fresh: bool) -> Result<Image> {
    let file = recipe.file();
    let (table, text) = read_recipe(file)?;
    let suite = host_suite();
    let folder = process::root().join("target/images");
    fs::create_dir_all(&folder)?;
    let key = digest(&format!("{text}\nsuite={suite}\narchitecture={}\n", std::env::consts::ARCH))?;
    let image = Image {
        archive: folder.join(format!("{key}.tar")),
        name: word(&table, "name")?.to_owned(),
        user: word(&table, "user")?.to_owned(),
        workdir: word(&table, "workdir")?.to_owned(),
    };
    if fresh || !image.archive.is_file() {
        build(&table, &suite, &folder, &image).with_context(|| format!("building the image of {file}"))?;
    }
    Ok(image)
}

/// Reads a recipe, laid over the one that it builds on, and the text of both.
fn read_recipe(file: &str) -> Result<(Table, String)> {
    let path = process::root().join("deploy/images").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut table: Table = text.parse().with_context(|| format!("reading {}", path.display()))?;
    match table.remove("base") {
        None => Ok((table, text)),
        Some(base) => {
            let (below, text_below) = read_recipe(base.as_str().context("`base` is not a name")?)?;
            Ok((laid_over(below, table), text_below + &text))
        }
    }
}

/// Lists are put together, the base's entries first; of anything else the upper table has the last word.
fn laid_over(mut base: Table, upper: Table) -> Table {
    for (name, value) in upper {
        match (base.get_mut(&name), value) {
            (Some(toml::Value::Array(below)), toml::Value::Array(above)) => below.extend(above),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
    base
}

/// Gives the image to a server's data folder; the server's own command does nothing when it is there already.
pub(crate) fn import(image: &Image, daytona: &Path, data_dir: &Path) -> Result<()> {
    let step = Step::begin(&format!("importing the image {}", image.name));
    let mut command = Command::new(daytona);
    command.args(["image", "import", "--data-dir"]).arg(data_dir);
    command.args(["--name", &image.name, "--user", &image.user, "--workdir", &image.workdir]);
    process::output(command.arg(&image.archive))?;
    step.done();
    Ok(())
}

fn build(table: &Table, suite: &str, folder: &Path, image: &Image) -> Result<()> {
    machine::ensure(&[Need::Mmdebstrap])?;
    let step = Step::begin(&format!("building the image {} from Debian {suite}", image.name));
    // An archive appears under its name only when it is whole.
    let partial = image.archive.with_extension("partial.tar");
    let mut command = Command::new("mmdebstrap");
    let log = image.archive.with_extension("log");
    command.args([
        "--mode=root",
        &format!("--logfile={}", log.display()),
        &format!("--variant={}", word(table, "variant")?),
    ]);
    command.arg(format!("--include={}", words(table, "packages")?.join(",")));
    command.args(["--aptopt=APT::Install-Recommends \"false\""]);
    // A power cut during the build costs a second build, so nothing has to reach the disk in between.
    command.arg("--dpkgopt=force-unsafe-io");
    for pattern in words(table, "exclude")? {
        command.arg(format!("--dpkgopt=path-exclude={pattern}"));
    }
    if table.contains_key("npm_packages") {
        let prefix = install_from_npm(&words(table, "npm_packages")?, &image.archive.with_extension("npm"))?;
        command.arg(format!("--customize-hook=sync-in {} /usr/local", quoted(&prefix.display().to_string())));
    }
    for line in words(table, "commands")? {
        command.arg(format!("--customize-hook=chroot \"$1\" /bin/sh -euc {}", quoted(line)));
    }
    command.arg("--customize-hook=rm -f \"$1\"/etc/apt/apt.conf.d/99mmdebstrap \"$1\"/etc/dpkg/dpkg.cfg.d/99mmdebstrap");
    for option in proxy_settings() {
        command.arg(format!("--aptopt={option}"));
    }
    command.arg(suite).arg(&partial).args(sources(folder, suite)?);
    let epoch = table.get("epoch_seconds").and_then(toml::Value::as_integer).context("epoch_seconds")?;
    command.env("SOURCE_DATE_EPOCH", epoch.to_string());
    report::say("    a minute or two, once: the archive is kept under target/images/");
    let is_built = process::succeeds(&mut command);
    // Packages of npm are in the archive now, if there is one.
    let _ = fs::remove_dir_all(image.archive.with_extension("npm"));
    if !is_built {
        let _ = fs::remove_file(&partial);
        bail!("mmdebstrap failed; the end of {}:{}", log.display(), process::tail(&log, 15));
    }
    fs::rename(&partial, &image.archive)?;
    let megabytes = fs::metadata(&image.archive)?.len() / 1_000_000;
    report::say(&format!("    {} ({megabytes} MB)", image.archive.display()));
    step.done();
    Ok(())
}

/// Installs packages of npm into a folder that becomes part of the image; the sandbox needs no network for them.
fn install_from_npm(packages: &[&str], folder: &Path) -> Result<PathBuf> {
    machine::ensure(&[Need::Node])?;
    let _ = fs::remove_dir_all(folder);
    let mut command = Command::new("npm");
    command.args(["install", "--global", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    process::output(command.arg(folder).args(packages))?;
    Ok(folder.to_path_buf())
}

/// The release of this machine when it is a Debian, else the newest that the recipes were tried with.
fn host_suite() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|word| word.trim_matches('"'))
    };
    match (value("ID"), value("VERSION_CODENAME")) {
        (Some("debian"), Some(suite)) => suite.to_owned(),
        _ => "bookworm".to_owned(),
    }
}

/// Writes the Debian archives that this machine itself uses into files for `mmdebstrap`; none means its default.
fn sources(folder: &Path, suite: &str) -> Result<Vec<PathBuf>> {
    let (mut lines, mut stanzas) = (String::new(), String::new());
    let listed =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    for file in std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(listed) {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => lines.push_str(&debian_lines(&text, suite)),
            Some("sources") => stanzas.push_str(&debian_stanzas(&text, suite)),
            _ => {}
        }
    }
    let mut files = Vec::new();
    for (name, text) in [("debian.list", lines), ("debian.sources", stanzas)] {
        if !text.is_empty() {
            let file = folder.join(name);
            fs::write(&file, text)?;
            files.push(file);
        }
    }
    Ok(files)
}

/// Keeps of a one-line source list the lines of Debian's own archive; others may be down, private or unsigned.
fn debian_lines(text: &str, suite: &str) -> String {
    let is_ours = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first() == Some(&"deb")
            && !line.contains("cdrom:")
            && (!line.contains("signed-by=") || line.contains("debian-archive"))
            && words.iter().any(|word| is_suite(word, suite))
            && words.contains(&"main")
    };
    text.lines().filter(is_ours).fold(String::new(), |kept, line| kept + line + "\n")
}

/// Keeps of a deb822 source file the stanzas of Debian's own archive, without comments.
fn debian_stanzas(text: &str, suite: &str) -> String {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let is_ours = |stanza: &&str| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        field("Types:").split_whitespace().any(|word| word == "deb")
            && field("Suites:").split_whitespace().any(|word| is_suite(word, suite))
            && field("Components:").split_whitespace().any(|word| word == "main")
            && (field("Signed-By:").is_empty() || field("Signed-By:").contains("debian-archive"))
            && field("Enabled:").trim() != "no"
    };
    without_comments
        .join("\n")
        .split("\n\n")
        .filter(is_ours)
        .fold(String::new(), |kept, stanza| kept + stanza.trim() + "\n\n")
}

fn is_suite(word: &str, suite: &str) -> bool {
    word.strip_prefix(suite).is_some_and(|rest| matches!(rest, "" | "-updates" | "-security"))
}

/// The proxies and certificates that apt of this machine was told to use.
fn proxy_settings() -> Vec<String> {
    let text = process::output(Command::new("apt-config").arg("dump")).unwrap_or_default();
    let is_ours = |line: &&str| {
        let name = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        name.starts_with("acquire::http") && (name.ends_with("::proxy") || name.ends_with("::cainfo"))
    };
    text.lines().filter(is_ours).map(|line| line.trim_end_matches(';').to_owned()).collect()
}

fn digest(text: &str) -> Result<String> {
    let line = process::output_of_input(&mut Command::new("sha256sum"), text)?;
    line.split_whitespace().next().map(str::to_owned).context("sha256sum printed nothing")
}

fn word<'a>(table: &'a Table, name: &str) -> Result<&'a str> {
    table.get(name).and_then(toml::Value::as_str).with_context(|| format!("the recipe lacks `{name}`"))
}

fn words<'a>(table: &'a Table, name: &str) -> Result<Vec<&'a str>> {
    let Some(list) = table.get(name).and_then(toml::Value::as_array) else {
        bail!("the recipe lacks `{name}`")
    };
    list.iter().map(|item| item.as_str().with_context(|| format!("`{name}` holds more than words"))).collect()
}

fn quoted(line: &str) -> String {
    format!("'{}'", line.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_archive_of_debian_is_used() {
        let list = "deb http://mirror/debian bookworm main\n# deb http://mirror/debian bookworm main\n\
                    deb [signed-by=/k/other.gpg] http://other/ bookworm main\ndeb cdrom:[x]/ bookworm main\n\
                    deb http://mirror/debian bookworm-backports main\n";
        assert_eq!(debian_lines(list, "bookworm"), "deb http://mirror/debian bookworm main\n");
        let sources = "Types: deb\n# a comment\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n\
                       Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                       Types: deb\nURIs: http://other/\nSuites: nodistro\nComponents: main\n";
        let kept = debian_stanzas(sources, "bookworm");
        assert!(
            kept.contains("http://mirror/debian") && !kept.contains("other") && !kept.contains('#'),
            "{kept}"
        );
    }

    #[test]
    fn a_recipe_that_builds_on_another_adds_to_its_lists() {
        let base: Table = "name = 'a'\nuser = 'u'\npackages = ['x']".parse().unwrap();
        let upper: Table = "name = 'b'\npackages = ['y']\nnpm_packages = ['z']".parse().unwrap();
        let both: Table =
            "name = 'b'\nuser = 'u'\npackages = ['x', 'y']\nnpm_packages = ['z']".parse().unwrap();
        assert_eq!(laid_over(base, upper), both);
    }

    #[test]
    fn quotes_survive_the_shell() {
        let line = quoted("echo 'a b'");
        assert_eq!(
            process::output(Command::new("sh").args(["-c", &format!("sh -c {line}")])).unwrap(),
            "a b\n"
        );
    }
}
