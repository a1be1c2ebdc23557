//! `daytona spawner`: the server's helper that clones.

pub(crate) fn run() -> anyhow::Result<()> {
    Ok(runner::spawner::serve(std::io::stdin())?)
}
