//! Which languages have a language server, how it is started, and which documents are theirs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::DaemonError;
use crate::program::find;

/// A language of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// `pylsp`.
    Python,
    /// `typescript-language-server`.
    TypeScript,
    /// The same program, but a server of its own.
    JavaScript,
}

impl Language {
    /// Reads the name on the wire.
    pub fn from_id(id: &str) -> Result<Self, DaemonError> {
        match id {
            "python" => Ok(Self::Python),
            "typescript" => Ok(Self::TypeScript),
            "javascript" => Ok(Self::JavaScript),
            other => {
                let shown: String = other.chars().take(40).collect();
                let reason = format!(
                    "unsupported languageId `{}`: use python, typescript or javascript",
                    shown.escape_debug()
                );
                Err(DaemonError::Invalid { reason })
            }
        }
    }

    /// Returns the name on the wire.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::TypeScript => "typescript",
            Self::JavaScript => "javascript",
        }
    }

    /// Returns the name of its server's program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Python => "pylsp",
            Self::TypeScript | Self::JavaScript => "typescript-language-server",
        }
    }

    /// Returns what to tell the program besides its name.
    pub const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Python => &[],
            Self::TypeScript | Self::JavaScript => &["--stdio"],
        }
    }

    /// Returns what a user can do when the program is missing.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Python => "pip install python-lsp-server",
            // The newest compiler has no server of the kind that the program drives.
            Self::TypeScript | Self::JavaScript => "npm install -g typescript-language-server typescript@5",
        }
    }

    /// Returns the program's path: from the search path, else from where the project or the user has its own.
    pub fn find(self, variables: &BTreeMap<String, String>, project: &Path, home: &str) -> Option<String> {
        let project = project.to_string_lossy();
        let own = match self {
            Self::Python => format!("{project}/.venv/bin"),
            Self::TypeScript | Self::JavaScript => format!("{project}/node_modules/.bin"),
        };
        let places = BTreeMap::from([("PATH".to_owned(), format!("{own}:{home}/.local/bin"))]);
        find(self.program(), variables).or_else(|| find(self.program(), &places))
    }

    /// Returns what the protocol calls the language of a document, by the end of its name; `None` for a document that is
    /// not of this language.
    pub fn of_document(self, path: &Path) -> Option<&'static str> {
        let extension = path.extension()?.to_str()?;
        let named = match extension {
            "py" | "pyi" => "python",
            "ts" | "mts" | "cts" => "typescript",
            "tsx" => "typescriptreact",
            "js" | "mjs" | "cjs" => "javascript",
            "jsx" => "javascriptreact",
            _ => return None,
        };
        ((self == Self::Python) == (named == "python")).then_some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        for id in ["python", "typescript", "javascript"] {
            assert_eq!(Language::from_id(id).expect(id).id(), id);
        }
        for id in ["", "Python", "rust", "python\n"] {
            assert_eq!(Language::from_id(id).expect_err(id).status_and_code().0, 400);
        }
    }

    #[test]
    fn a_document_belongs_to_one_kind_of_server() {
        let name = |language: Language, path| language.of_document(Path::new(path));
        assert_eq!(name(Language::Python, "/a/b.py"), Some("python"));
        assert_eq!(name(Language::TypeScript, "/a/b.tsx"), Some("typescriptreact"));
        assert_eq!(name(Language::JavaScript, "/a/b.ts"), Some("typescript"));
        for (language, path) in
            [(Language::Python, "/a/b.ts"), (Language::TypeScript, "/a/b.py"), (Language::Python, "/a/py")]
        {
            assert_eq!(name(language, path), None, "{path}");
        }
    }

    #[test]
    fn a_project_may_bring_its_own_server() {
        let directory = tempfile::tempdir().expect("directory");
        let bin = directory.path().join("node_modules/.bin");
        std::fs::create_dir_all(&bin).expect("directories");
        std::os::unix::fs::symlink("/bin/sh", bin.join("typescript-language-server")).expect("link");
        let find = |language: Language| language.find(&BTreeMap::new(), directory.path(), "/no/such");
        assert!(find(Language::TypeScript).is_some_and(|path| path.contains("node_modules/.bin")));
        assert_eq!(find(Language::Python), None);
    }
}
