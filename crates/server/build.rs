//! Puts the daemon's program into this crate, so that one file is the whole platform.
//!
//! `cargo x` builds the daemon first and names it in `DAYTONA_DAEMON`. Without that, as in a plain `cargo check`, the
//! crate compiles with an empty program, and the server says so when it starts.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=DAYTONA_DAEMON");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("daytona-daemon");
    let written = match env::var_os("DAYTONA_DAEMON").filter(|path| !path.is_empty()) {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", PathBuf::from(&path).display());
            fs::copy(path, out).map(drop)
        }
        None => fs::write(out, b""),
    };
    if let Err(error) = written {
        println!("cargo::error=copy the daemon named by DAYTONA_DAEMON: {error}");
    }
}
