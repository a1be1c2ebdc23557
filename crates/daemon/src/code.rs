//! Runs program texts: Python with the charts it draws, JavaScript, TypeScript.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use daytona_wire::toolbox::chart::Chart;
use daytona_wire::toolbox::process::{CodeRunArtifacts, CodeRunRequest};

use crate::error::DaemonError;
use crate::program::{Launch, find, memory_file};

/// Runs the user's text with `plt.show` replaced; reads the text from descriptor 3, writes charts to descriptor 4.
const CHART_WRAPPER: &str = include_str!("code/chart.py");
/// More charts than this would not fit into an answer anybody can read.
const CHART_BYTES: usize = 32 * 1024 * 1024;

/// A language that code can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `python3`, or `python` where that is all there is.
    Python,
    /// `node`.
    JavaScript,
    /// `ts-node`, or `npx ts-node` where that is not installed.
    TypeScript,
}

impl Language {
    /// Reads the name on the wire.
    pub fn from_name(name: &str) -> Result<Self, DaemonError> {
        match name {
            // A sandbox made without the label that SDKs keep the language in sends an empty one.
            "python" | "" => Ok(Self::Python),
            "javascript" => Ok(Self::JavaScript),
            "typescript" => Ok(Self::TypeScript),
            other => {
                let shown: String = other.chars().take(40).collect();
                let reason = format!(
                    "unsupported language `{}`: use python, javascript or typescript",
                    shown.escape_debug()
                );
                Err(DaemonError::Invalid { reason })
            }
        }
    }
}

/// A program text ready to run, and where its charts will be.
#[derive(Debug)]
pub struct CodeLaunch {
    /// How to start it; `Err` holds what to tell when its interpreter is missing.
    pub launch: Result<Launch, String>,
    /// Where a wrapped Python program leaves its charts.
    charts: Option<OwnedFd>,
}

/// Prepares a program text. `source_file` names a file that holds it, for the languages that need one.
pub fn prepare(
    language: Language,
    request: &CodeRunRequest,
    variables: BTreeMap<String, String>,
    directory: String,
    source_file: &Path,
) -> Result<CodeLaunch, DaemonError> {
    let argv = request.argv.clone().unwrap_or_default();
    let (names, mut arguments): (&[&str], Vec<String>) = match language {
        Language::Python if draws(&request.code) => {
            (&["python3", "python"], vec!["-u".into(), "-c".into(), CHART_WRAPPER.into()])
        }
        Language::Python => (&["python3", "python"], vec!["-u".into(), "-".into()]),
        Language::JavaScript => (&["node"], vec!["-".into()]),
        Language::TypeScript => (&["ts-node", "npx"], Vec::new()),
    };
    let Some((name, path)) = names.iter().find_map(|name| Some((*name, find(name, &variables)?))) else {
        let missing =
            format!("{}: command not found; use an image that has it installed\n", names.join(" or "));
        return Ok(CodeLaunch { launch: Err(missing), charts: None });
    };
    if language == Language::TypeScript {
        arguments.extend(if name == "npx" {
            vec!["--yes".to_owned(), "ts-node".to_owned()]
        } else {
            Vec::new()
        });
        // Types are removed, not checked: a program must run even where its libraries' types are not installed.
        let options = ["-T", "-O", r#"{"module":"CommonJS"}"#];
        arguments.extend(options.map(str::to_owned));
        arguments.push(source_file.to_string_lossy().into_owned());
    }
    arguments.extend(argv);
    arguments.insert(0, name.to_owned());
    let title = format!("{name} code");
    let code = request.code.as_bytes();
    let mut launch = Launch { title, path, arguments, variables, directory, input: None, extra: Vec::new() };
    let mut charts = None;
    match language {
        Language::Python if draws(&request.code) => {
            let (theirs, ours) = chart_file()?;
            launch.extra = vec![memory_file("code", code)?, theirs];
            charts = Some(ours);
        }
        Language::Python | Language::JavaScript => launch.input = Some(memory_file("code", code)?),
        Language::TypeScript => {}
    }
    Ok(CodeLaunch { launch: Ok(launch), charts })
}

/// Returns whether the text may draw. Looking for the word is enough: a false alarm costs one import.
fn draws(code: &str) -> bool {
    code.contains("matplotlib")
}

fn chart_file() -> Result<(OwnedFd, OwnedFd), DaemonError> {
    let theirs = memory_file("charts", b"")?;
    let ours = theirs
        .try_clone()
        .map_err(|source| DaemonError::Execution { step: "keep charts in memory", source })?;
    Ok((theirs, ours))
}

impl CodeLaunch {
    /// Reads the charts that the program has drawn; `None` when there are none.
    pub fn into_artifacts(self) -> Option<CodeRunArtifacts> {
        let descriptor = self.charts?;
        let size = rustix::fs::fstat(descriptor.as_fd())
            .ok()
            .and_then(|status| usize::try_from(status.st_size).ok())?;
        let mut text = vec![0_u8; size.min(CHART_BYTES)];
        let read = rustix::io::pread(&descriptor, &mut text, 0).ok()?;
        text.truncate(read);
        // One chart per line; the program could write anything here, and what is not a chart is not one.
        let charts: Vec<Chart> =
            text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        (!charts.is_empty()).then_some(CodeRunArtifacts { charts })
    }
}

/// Returns where the text of one run is kept for the languages that need a file.
pub fn source_file(token: &str) -> PathBuf {
    Path::new("/tmp").join(format!("daytona-code-{token}.ts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        BTreeMap::from([("PATH".to_owned(), "/no/such".to_owned())])
    }

    #[test]
    fn languages_are_known_by_their_names() {
        assert_eq!(Language::from_name("python").expect("known"), Language::Python);
        assert_eq!(Language::from_name("typescript").expect("known"), Language::TypeScript);
        for name in ["ruby", "Python", "python\0", &"x".repeat(10_000)] {
            let error = Language::from_name(name).expect_err("unknown").message();
            assert!(error.contains("use python, javascript or typescript") && error.len() < 300, "{error}");
        }
    }

    #[test]
    fn a_missing_interpreter_is_named() {
        let request = CodeRunRequest { code: "1".into(), ..CodeRunRequest::default() };
        for (language, name) in
            [(Language::Python, "python3"), (Language::JavaScript, "node"), (Language::TypeScript, "ts-node")]
        {
            let prepared =
                prepare(language, &request, variables(), "/".into(), Path::new("/x.ts")).expect("prepared");
            let missing = prepared.launch.expect_err("not found");
            assert!(missing.contains(name) && missing.contains("not found"), "{missing}");
        }
    }

    #[test]
    fn what_is_not_a_chart_is_left_out() {
        let (theirs, ours) = chart_file().expect("file");
        let lines = b"{\"type\":\"line\",\"title\":\"t\",\"elements\":[]}\nnonsense\n[1]\n\n";
        rustix::io::write(&theirs, lines).expect("write");
        let prepared = CodeLaunch { launch: Err(String::new()), charts: Some(ours) };
        let artifacts = prepared.into_artifacts().expect("one chart");
        assert_eq!(artifacts.charts.len(), 1);
        assert_eq!(artifacts.charts[0].title, "t");
    }
}
