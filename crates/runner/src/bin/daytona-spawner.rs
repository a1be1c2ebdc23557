//! The spawner as a program of its own, which the runner's tests start; the product runs the same function.
#![forbid(unsafe_code)]

use std::os::fd::AsFd as _;

fn main() {
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let served = socket.map_err(|error| error.to_string()).and_then(|socket| {
        runner::spawner::serve(&socket)
            .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
    });
    if let Err(error) = served {
        eprintln!("daytona-spawner: {error}");
    }
}
