//! The floor of `search`: the same work by the libraries that `rg` is made of, in this program, started inside a sandbox.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, sinks};
use ignore::{DirEntry, WalkBuilder, WalkState};

/// The argument that makes this program the one inside; what is looked for, where and which follow.
pub(crate) const ARGUMENT: &str = "--ripgrep";
/// Looks for lines.
pub(crate) const LINES: &str = "lines";
/// Looks for names.
pub(crate) const NAMES: &str = "names";

/// A line that was found.
type Hit = (PathBuf, u64, Vec<u8>);

/// Prints how many there are, and how many milliseconds it took to find them.
pub(crate) fn answer(arguments: &[String]) -> Result<()> {
    let [what, root, text] = arguments else { bail!("{ARGUMENT} takes what, where and which") };
    let started = Instant::now();
    let count = match what.as_str() {
        LINES => lines(root, text)?,
        NAMES => names(root, text),
        other => bail!("{other} is neither {LINES} nor {NAMES}"),
    };
    writeln!(std::io::stdout(), "{count} {}", started.elapsed().as_secs_f64() * 1000.0)?;
    Ok(())
}

/// Everything below `root`, hidden and ignored files too, in as many threads as `rg` would start.
fn walk(root: &str, visit: impl Fn(&DirEntry) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let visit = &visit;
    WalkBuilder::new(root).standard_filters(false).threads(threads).build_parallel().run(|| {
        Box::new(move |entry| {
            if let Ok(entry) = entry {
                visit(&entry);
            }
            WalkState::Continue
        })
    });
}

fn lines(root: &str, text: &str) -> Result<usize> {
    let matcher = RegexMatcherBuilder::new()
        .fixed_strings(true)
        .line_terminator(Some(b'\n'))
        .build(text)
        .context("a literal text")?;
    let hits = Mutex::new(Vec::new());
    walk(root, |entry| {
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            let found = lines_of(entry, &matcher);
            if !found.is_empty() {
                hits.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            }
        }
    });
    Ok(hits.into_inner().unwrap_or_else(PoisonError::into_inner).len())
}

thread_local! {
    /// Its buffer serves one file after the other, as in `rg`.
    static SEARCHER: std::cell::RefCell<Searcher> = std::cell::RefCell::new(
        SearcherBuilder::new().binary_detection(BinaryDetection::quit(0)).line_number(true).build(),
    );
}

fn lines_of(entry: &DirEntry, matcher: &RegexMatcher) -> Vec<Hit> {
    let mut found = Vec::new();
    SEARCHER.with_borrow_mut(|searcher| {
        let sink = sinks::Bytes(|number, line| {
            found.push((entry.path().to_owned(), number, line.to_vec()));
            Ok(true)
        });
        // What cannot be read is left out, on both sides.
        let _ = searcher.search_path(matcher, entry.path(), sink);
    });
    found
}

fn names(root: &str, ending: &str) -> usize {
    let hits = Mutex::new(Vec::new());
    walk(root, |entry| {
        if entry.file_name().to_string_lossy().ends_with(ending) {
            hits.lock().unwrap_or_else(PoisonError::into_inner).push(entry.path().to_owned());
        }
    });
    hits.into_inner().unwrap_or_else(PoisonError::into_inner).len()
}
