//! Instructions as they were written, their variables not expanded yet.

use crate::mount::Mount;
pub use crate::text::Heredoc;

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Where it begins.
    pub line: u32,
    /// How it was written, on one line, for the log.
    pub text: String,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `RUN`
    Run(RunText),
    /// `COPY` and `ADD`
    Copy(CopyText),
    /// `ENV`
    Env(Vec<(String, String)>),
    /// `ARG`
    Arg(Vec<(String, Option<String>)>),
    /// `LABEL`
    Label(Vec<(String, String)>),
    /// `WORKDIR`
    WorkingDirectory(String),
    /// `USER`
    User(String),
    /// `EXPOSE`
    Expose(Vec<String>),
    /// `SHELL`
    Shell(Vec<String>),
    /// `ENTRYPOINT`
    Entrypoint(Form),
    /// `CMD`
    Command(Form),
    /// What is noted and means nothing to a sandbox: `STOPSIGNAL`, `VOLUME`, `HEALTHCHECK`, `MAINTAINER`.
    Noted,
}

/// How a program is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A text for the shell.
    Shell(String),
    /// The program and its arguments.
    Exec(Vec<String>),
}

/// What `RUN` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunText {
    /// What is run.
    pub form: Form,
    /// Texts that it reads.
    pub heredocs: Vec<Heredoc>,
    /// What it finds besides the image.
    pub mounts: Vec<Mount>,
    /// Whether it has no network.
    pub is_offline: bool,
}

/// What `COPY` or `ADD` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyText {
    /// The stage or the image that files come from; the context when there is none.
    pub from: Option<String>,
    /// What is copied.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// Who owns it there.
    pub owner: Option<String>,
    /// Its mode there.
    pub mode: Option<String>,
    /// Which files of the sources stay behind.
    pub excluded: Vec<String>,
    /// Whether archives are unpacked.
    pub unpacks: bool,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Files by name, perhaps with wildcards.
    Path(String),
    /// A text in the Dockerfile.
    Text(Heredoc),
}
