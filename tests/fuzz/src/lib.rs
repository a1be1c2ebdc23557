//! What fuzzing calls: one function per kind of input that strangers send, which must not panic and must keep its promise.
//!
//! Must not know: a sandbox, a network; nothing here touches a file, so that any input may run anywhere, as anybody.
//! Start at [`TARGETS`]. New inputs are found by `cargo x fuzz`; those kept under `corpus/` are replayed by `cargo test`.
#![forbid(unsafe_code)]

pub mod text;
pub mod body;
pub mod form;
pub mod output;
pub mod server;
pub mod repository;

/// A kind of input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder of kept inputs.
    pub name: &'static str,
    /// Does with the input what the daemon would.
    pub run: fn(&[u8]),
}

/// Every kind of input.
pub const TARGETS: &[Target] = &[
    Target { name: "query", run: text::query },
    Target { name: "path", run: text::path },
    Target { name: "glob", run: text::glob },
    Target { name: "find", run: text::find },
    Target { name: "body", run: body::body },
    Target { name: "form", run: form::form },
    Target { name: "offer", run: body::offer },
    Target { name: "log", run: output::log },
    Target { name: "record", run: output::record },
    Target { name: "terminal", run: output::terminal },
    Target { name: "language_server", run: server::frames },
    Target { name: "proposals", run: server::answers },
    Target { name: "location", run: repository::location },
    Target { name: "advertisement", run: repository::advertisement },
];

/// The variable that chooses what the fuzzing program runs.
pub const CHOICE: &str = "DAYTONA_FUZZ_TARGET";

/// Runs the target that the environment names.
pub fn chosen(bytes: &[u8]) {
    static CHOSEN: std::sync::OnceLock<fn(&[u8])> = std::sync::OnceLock::new();
    let run = CHOSEN.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "the engine owns the command line")]
        let name = std::env::var(CHOICE).unwrap_or_default();
        TARGETS.iter().find(|target| target.name == name).map_or(|_| {}, |target| target.run)
    });
    run(bytes);
}

/// Takes a number out of the input, for choices.
fn choice(bytes: &[u8]) -> (usize, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest))
}

/// Gives the input in pieces whose lengths depend on it.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(*rest.first()?) % 13 + 1;
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = after;
        Some(piece)
    })
}
