//! Other programs: how they are started, watched and what is said when they fail.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::report;

/// The root of the tree: the folder above this package.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The cargo that runs us, so that a toolchain chosen with `+name` stays chosen.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    // What the cargo that runs us says of our own package. Build scripts read it, so that what was built without us would
    // be built once more.
    for (name, _) in std::env::vars_os() {
        let is_ours = |prefix: &&str| name.to_string_lossy().starts_with(*prefix);
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"].iter().any(is_ours) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end with our standard streams; a failure is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and returns what it wrote to standard output; standard error is ours.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("starting {}", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end with `input` on standard input and returns what it wrote.
pub(crate) fn output_of_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs silently and returns whether it succeeded; a program that is not there did not.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Runs to the end, passing each line of what it says to `line` as it comes.
pub(crate) fn each_line(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().context("making a pipe")?).stderr(writer);
    let child = command.spawn();
    // Our own copies of the pipe's end would keep it open for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.with_context(|| format!("starting {}", shown(command)))?;
    let (lines, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            if lines.send(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    // What a program leaves running holds the pipe open: after its end, silence is taken for the end of its words.
    let mut silent_looks = 0;
    while silent_looks < 20 {
        match heard.recv_timeout(Duration::from_millis(250)) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => silent_looks += usize::from(child.try_wait()?.is_some()),
        }
    }
    Ok(child.wait()?)
}

/// Sends a signal by name, such as `TERM`, to one process. The shell's own `kill` is on every machine.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    succeeds(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]))
}

/// Finds a program on `PATH` or in the folders of the system that `PATH` may leave out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Takes the value after `name` out of `arguments`, such as `--port 3000`.
pub(crate) fn take_value(arguments: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let Some(at) = arguments.iter().position(|argument| argument == name) else { return Ok(None) };
    arguments.remove(at);
    if at >= arguments.len() {
        bail!("`{name}` needs a value");
    }
    Ok(Some(arguments.remove(at)))
}

/// Takes the flag `name` out of `arguments` and returns whether it was there.
pub(crate) fn take_flag(arguments: &mut Vec<String>, name: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != name);
    arguments.len() < before
}

/// Refuses whatever a verb left in `arguments`.
pub(crate) fn refuse_rest(verb: &str, arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("`cargo x {verb}` does not take `{argument}`; see `cargo x {verb} --help`");
    }
    Ok(())
}

/// The end of a log, for an error message.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).fold(String::new(), |text, line| text + "\n    " + line)
}

/// Says the command that runs next, as one would type it.
pub(crate) fn announce(command: &Command) {
    report::say(&format!("    $ {}", shown(command)));
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_are_heard_and_what_a_program_leaves_is_not_waited_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$; echo error >&2; sleep 1000 & echo $!; exit 3"]);
        let mut said = Vec::new();
        let status = each_line(&mut command, |line| said.push(line.to_owned())).unwrap();
        assert!(signal(said[2].parse().unwrap(), "KILL"), "it goes on: {said:?}");
        assert_eq!((status.code(), said.len(), said[1].as_str()), (Some(3), 3, "error"));
    }
}
