//! The written forms of the table of settings: a page of the reference, and a part of `daytona server --help`.

use std::fmt::Write as _;

use crate::setting::{Fallback, Section, Setting};
use crate::{deferred, env};

/// Writes `docs/reference/configuration.md`.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in Section::ALL {
        let _ = writeln!(page, "\n## {}\n", section.title());
        page.push_str(
            "| flag | variable | file key | value | default | meaning |\n|---|---|---|---|---|---|\n",
        );
        for setting in settings_of(section) {
            page.push_str(&row(setting));
        }
    }
    page.push_str(DEFERRED);
    for group in deferred::GROUPS {
        let names: Vec<String> = group.variables().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "\n**{}**: {}.", group.title, names.join(", "));
    }
    page
}

/// Writes the settings as lines of help.
pub fn help() -> String {
    let mut help = String::new();
    for section in Section::ALL {
        let _ = writeln!(help, "{}:", section.title());
        for setting in settings_of(section) {
            let _ = writeln!(help, "  {} <{}>", setting.flag(), setting.kind.placeholder());
            for line in wrap(&plain(setting.description), 90) {
                let _ = writeln!(help, "          {line}");
            }
            let default = plain(&default_of(setting));
            let variables = setting.variables().collect::<Vec<_>>().join(" or ");
            for line in wrap(&format!("[env: {variables}; default: {default}]"), 90) {
                let _ = writeln!(help, "          {line}");
            }
        }
        help.push('\n');
    }
    help
}

const INTRODUCTION: &str = "\
<!-- Generated from crates/service/src/env.rs; `cargo x fix` writes it, a test compares it. -->
# Configuration

Every setting can be said in three ways; the first that says it wins:

1. a flag of `daytona server`, `--name value` or `--name=value`;
2. an environment variable; an empty one counts as not set;
3. a key of the TOML file that `--config` names.

What nobody says has the default. Unknown flags, unknown keys and unknown variables that begin with `DAYTONA_SERVER_` are
errors that name the nearest known one. `daytona config show` prints every setting with who said it, secrets redacted.

Variables marked † are those of the original deployment, with the meaning they had there.
";

const DEFERRED: &str = "
## Known, not used yet

The original deployment also used these variables. In the environment they are let pass, and the server logs once that it
does not use them; as keys of the settings file they are errors.
";

fn settings_of(section: Section) -> impl Iterator<Item = &'static Setting> {
    env::SETTINGS.iter().copied().filter(move |setting| setting.section == section)
}

fn row(setting: &Setting) -> String {
    let mark = if setting.original { " †" } else { "" };
    let alias = setting.alias.map_or_else(String::new, |alias| format!(" or `{alias}`"));
    let key = if setting.name == env::CONFIG.name { String::new() } else { format!("`{}`", setting.name) };
    let secret = if setting.secret { " Secret." } else { "" };
    format!(
        "| `{}` | `{}`{alias}{mark} | {key} | {} | {} | {}{secret} |\n",
        setting.flag(),
        setting.variable,
        setting.kind.expectation(),
        default_of(setting),
        setting.description,
    )
}

fn default_of(setting: &Setting) -> String {
    match setting.fallback {
        Fallback::Value("") => "none".to_owned(),
        Fallback::Value(text) => format!("`{text}`"),
        Fallback::Derived(how) => how.to_owned(),
        Fallback::Unset(meaning) => format!("unset: {meaning}"),
    }
}

/// Drops the marks that Markdown needs and a terminal does not.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// Breaks a text into lines of at most `width` characters, at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
        let committed = fs_err::read_to_string(path).expect("the page is committed");
        assert!(committed == markdown(), "docs/reference/configuration.md is stale: run `cargo x fix`");
    }

    #[test]
    fn the_help_names_every_flag_and_variable() {
        let help = help();
        for setting in env::SETTINGS {
            assert!(help.contains(&setting.flag()), "{}", setting.name);
            assert!(setting.variables().all(|variable| help.contains(variable)), "{}", setting.name);
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100));
    }
}
