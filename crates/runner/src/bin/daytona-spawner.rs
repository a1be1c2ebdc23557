//! The spawner as a program of its own, which the runner's tests start; the product runs the same function.
#![forbid(unsafe_code)]

fn main() {
    if let Err(error) = runner::spawner::serve(std::io::stdin()) {
        eprintln!("daytona-spawner: {error}: {:?}", std::error::Error::source(&error));
    }
}
