//! Where things are in this checkout and on this machine.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the checkout that this xtask was built from.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target/` in the checkout.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Cargo's home: `CARGO_HOME`, else `~/.cargo`; `None` without a home directory.
pub fn cargo_home() -> Option<PathBuf> {
    home_of("CARGO_HOME", ".cargo")
}

/// rustup's home: `RUSTUP_HOME`, else `~/.rustup`; `None` without a home directory.
pub fn rustup_home() -> Option<PathBuf> {
    home_of("RUSTUP_HOME", ".rustup")
}

fn home_of(variable: &str, default: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(default)))
}
