//! This machine's C compiler, for the case that builds in a guest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// Where its largest part is; a guest moves it to its disk, so that it is read as page cache.
pub const PASSES: &str = "/usr/lib/gcc";
/// What the case's sources include.
const INCLUDED: [&str; 2] = ["stdio.h", "stdlib.h"];

/// Compiler, assembler, headers and libraries, each with its place in the guest, which is the same.
/// Nothing where there is no `cc`: the case is skipped then.
pub fn files() -> Result<Vec<(PathBuf, String)>> {
    let Some(compiler) = process::find("cc", &[]) else {
        return Ok(Vec::new());
    };
    let mut paths = headers()?;
    for program in [compiler.clone(), pass("cc1")?, pass("as")?] {
        paths.extend(libraries(&program)?);
        paths.insert(program);
    }
    let pair = |path: PathBuf| Some((path.canonicalize().ok()?, path.to_str()?.to_owned()));
    Ok(paths.into_iter().filter_map(pair).collect())
}

/// Where the compiler finds one of the programs that it runs.
fn pass(name: &str) -> Result<PathBuf> {
    let path = process::stdout(Command::new("cc").arg(format!("-print-prog-name={name}")))?;
    let path = PathBuf::from(path.trim());
    match path.is_absolute() {
        true => Ok(path),
        false => process::find(name, &[]).with_context(|| format!("cc has no {name}")),
    }
}

fn headers() -> Result<BTreeSet<PathBuf>> {
    let mut command = Command::new("cc");
    // As the case compiles: headers include others when the compiler optimises.
    command.args(["-O1", "-M"]);
    for name in INCLUDED {
        command.args(["-include", name]);
    }
    let rule = process::stdout(command.args(["-x", "c", "/dev/null"]))?;
    let words = rule.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect())
}

/// By ldd(1): `name => path (address)`, or the path alone.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let lines = process::stdout(Command::new("ldd").arg(program))?;
    let path = |line: &str| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(path))
    };
    Ok(lines.lines().filter_map(path).collect())
}
