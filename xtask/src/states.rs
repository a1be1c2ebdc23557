//! `cargo x states`: prints the table of states and its diagram, from the one table that the product runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};
use types::sandbox::state::{self, Move, Overlay, WORDS};
use types::sandbox::{Desired, Observed};

use crate::process;
use crate::report;

const PAGE: &str = "docs/reference/states.md";

const HEAD: &str = "# States of a sandbox

<!-- Written by `cargo x states` from `crates/types/src/sandbox/state.rs`. Do not edit. -->

A sandbox is a pair: what was *asked* for, which requests write, and what was *seen* on its host, which only the engine
writes. The engine takes one step at a time until it rests; the contract's word for the state follows from the pair.
";

const TIMERS: &str = "
## What changes by itself

| interval | counts | then |
|---|---|---|
| `autoStopInterval`, minutes; 0 never | since it was last used, while it is started | it stops; it is deleted if its `autoDeleteInterval` is 0 |
| `autoPauseInterval`, minutes; 0 never | since it was last used, while it is started | it is paused |
| `autoArchiveInterval`, minutes; 0 is 43200 | since it stopped | it is archived, unless it is ephemeral; after a backup that failed not before six hours |
| `autoDeleteInterval`, minutes; negative never, 0 ephemeral | since it stopped | it is deleted; an archived or paused one is not |
| `ttlMinutes` | since it was set, whatever it does | it is deleted, and those that are linked to it |

Of two idle intervals the shorter counts. Used means: a request to it or a connection that is open, a call of
`last-activity`, and every change of its state. A snapshot or a backup that is being made is waited for. The intervals are
kept in the rows: they outlive a restart of the server.

The label `daytona.io/keep-awake` lets running work count as use, too, before a sandbox would stop or be paused for idleness:
`work` when one of its processes used more than 1 % of a processor between two looks (ten seconds apart), `connections` when
it has open connections, `work,connections` for both, `never` for neither.
";

/// What can be asked of a sandbox at rest: the verb, from where, and what is asked then.
const WISHES: &[(&str, (Desired, Observed), Desired)] = &[
    ("start", (Desired::Stopped, Observed::Stopped), Desired::Started),
    ("start", (Desired::Stopped, Observed::Ended), Desired::Started),
    ("start", (Desired::Paused, Observed::Paused), Desired::Started),
    ("start", (Desired::Archived, Observed::Archived), Desired::Started),
    ("stop", (Desired::Started, Observed::Started), Desired::Stopped),
    ("stop", (Desired::Paused, Observed::Paused), Desired::Stopped),
    ("pause", (Desired::Started, Observed::Started), Desired::Paused),
    ("archive", (Desired::Stopped, Observed::Stopped), Desired::Archived),
    ("delete", (Desired::Started, Observed::Started), Desired::Destroyed),
    ("delete", (Desired::Stopped, Observed::Stopped), Desired::Destroyed),
    ("delete", (Desired::Paused, Observed::Paused), Desired::Destroyed),
    ("delete", (Desired::Archived, Observed::Archived), Desired::Destroyed),
    ("delete", (Desired::Stopped, Observed::Error), Desired::Destroyed),
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let check = process::take_flag(&mut arguments, "--check");
    process::refuse_rest("states", &arguments)?;
    let path = process::root().join(PAGE);
    let page = page();
    let old = fs::read_to_string(&path).unwrap_or_default();
    if check && old != page {
        bail!("{PAGE} is not what the table says; run `cargo x states` and commit it");
    }
    if old != page {
        fs::create_dir_all(path.parent().context("the page lies in a folder")?)?;
        fs::write(&path, &page).with_context(|| format!("writing {PAGE}"))?;
        report::say(&format!("    wrote {PAGE}"));
    }
    Ok(())
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## The words\n\n| word | shown |\n|---|---|\n");
    // Writing to a string cannot fail.
    for (word, never) in WORDS {
        let shown = never.map_or_else(|| when(word), |why| format!("never: {why}"));
        let _ = writeln!(text, "| `{word}` | {shown} |");
    }
    let desired: Vec<_> = Desired::ALL.iter().map(|desired| format!("`{}`", desired.as_str())).collect();
    let _ = write!(
        text,
        "\nThe words for what was asked for are {} and `{}`, which a resize under way reports.\n",
        desired.join(", "),
        state::RESIZED
    );
    text.push_str(&table());
    text.push_str("\n## The diagram\n\n```mermaid\nstateDiagram-v2\n");
    for edge in edges() {
        let _ = writeln!(text, "    {edge}");
    }
    text.push_str(
        "```\n\nAny word that ends in *ing* may become `error`: a step that failed for good says why.\n",
    );
    text.push_str(TIMERS);
    text
}

/// Returns the pairs that show a word, and what else does.
fn when(word: &str) -> String {
    // What was asked, by what was seen: most words belong to one wish.
    let mut pairs: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for desired in Desired::ALL {
        let seen = Observed::ALL.into_iter().filter(|observed| state::reported(desired, *observed) == word);
        let seen: Vec<_> = seen.map(Observed::as_str).collect();
        if !seen.is_empty() {
            pairs.entry(seen).or_default().push(desired.as_str());
        }
    }
    let mut ways = Vec::new();
    for (seen, asked) in pairs {
        let any = asked.len() == Desired::ALL.len();
        let asked = if any { String::new() } else { format!("asked {}, ", asked.join(" or ")) };
        ways.push(format!("{asked}seen {}", seen.join(" or ")));
    }
    for overlay in Overlay::ALL.into_iter().filter(|overlay| overlay.as_str() == word) {
        ways.push(
            match overlay {
                Overlay::Resizing => "its limits are being changed",
                Overlay::Snapshotting => "a snapshot of it is being taken",
                Overlay::Forking => "its files are being made of another's",
                Overlay::Repairing => "it is being recovered",
                Overlay::PendingBuild => "its image is to be built",
                Overlay::Building => "its image is being built",
                Overlay::BuildFailed => "its image could not be built",
            }
            .to_owned(),
        );
    }
    ways.join("; ")
}

/// Every pair with its word and its next step.
fn table() -> String {
    let mut text =
        String::from("\n## The table\n\nThe word, and the next step where there is one.\n\n| seen |");
    for desired in Desired::ALL {
        let _ = write!(text, " asked {} |", desired.as_str());
    }
    let _ = write!(text, "\n|---|{}\n", "---|".repeat(Desired::ALL.len()));
    for observed in Observed::ALL {
        let _ = write!(text, "| {} |", observed.as_str());
        for desired in Desired::ALL {
            let word = state::reported(desired, observed);
            match state::next(desired, observed) {
                Move::Rest => {
                    let _ = write!(text, " `{word}` |");
                }
                step => {
                    let _ = write!(text, " `{word}` → {} |", step.as_str());
                }
            }
        }
        text.push('\n');
    }
    text
}

/// What is asked of a sandbox at rest, and where the table brings it, each arrow once.
fn edges() -> BTreeSet<String> {
    let mut edges = BTreeSet::new();
    for beginning in [state::reported(Desired::Started, Observed::Absent), Overlay::Forking.as_str()] {
        edges.insert(format!("[*] --> {beginning}"));
        edges.insert(format!("{beginning} --> started: {}", Move::Make.as_str()));
    }
    for (verb, (desired, observed), wish) in WISHES {
        let from = state::reported(*desired, *observed);
        edges.insert(format!("{from} --> {}: {verb}", state::reported(*wish, *observed)));
        let mut seen = *observed;
        while let Some(after) = state::next(*wish, seen).leads_to() {
            let (word, next) = (state::reported(*wish, seen), state::reported(*wish, after));
            edges.insert(format!("{word} --> {next}: {}", state::next(*wish, seen).as_str()));
            seen = after;
        }
    }
    for (word, rests) in [
        (Overlay::Resizing, ["started", "stopped"].as_slice()),
        (Overlay::Snapshotting, ["started", "stopped", "paused"].as_slice()),
    ] {
        for rest in rests {
            edges.insert(format!("{rest} --> {}", word.as_str()));
            edges.insert(format!("{} --> {rest}", word.as_str()));
        }
    }
    edges.insert(format!("error --> {}: recover", Overlay::Repairing.as_str()));
    let (pending, building) = (Overlay::PendingBuild.as_str(), Overlay::Building.as_str());
    edges.insert(format!("[*] --> {pending}"));
    edges.insert(format!("{pending} --> {building}"));
    edges.insert(format!("{building} --> {}", state::reported(Desired::Started, Observed::Absent)));
    edges.insert(format!("{building} --> {}", Overlay::BuildFailed.as_str()));
    edges.insert("destroyed --> [*]".to_owned());
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_table_says() {
        let committed = fs::read_to_string(process::root().join(PAGE)).unwrap_or_default();
        assert_eq!(committed, page(), "run `cargo x states`");
    }

    #[test]
    fn every_word_that_is_shown_is_in_the_diagram() {
        let edges: Vec<_> = edges().into_iter().collect();
        let diagram = edges.join("\n");
        for (word, never) in WORDS {
            let is_drawn =
                diagram.contains(&format!("{word} -->")) || diagram.contains(&format!("--> {word}"));
            assert_eq!(is_drawn, never.is_none(), "{word}");
        }
    }
}
