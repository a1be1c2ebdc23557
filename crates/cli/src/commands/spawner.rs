//! `daytona spawner`: the server's helper that clones.

use std::os::fd::AsFd as _;

pub(crate) fn run() -> anyhow::Result<()> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok(runner::spawner::serve(&socket)?)
}
