//! What is linked into the program, as CycloneDX 1.5 (cyclonedx.org/docs/1.5/json).

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifest::sha256;
use crate::{ebpf, musl, process, workspace};

/// Of a program built from this checkout: the crates linked into it, and those of the BPF object.
pub fn of(program: &[u8]) -> Result<Vec<u8>> {
    let tree = process::stdout(
        Command::new("cargo")
            .args([
                "tree",
                "--locked",
                "-p",
                "memtrace",
                "--target",
                musl::TARGET,
            ])
            // A macro's crate runs in the compiler, and is not linked.
            .args([
                "-e",
                "normal,no-proc-macro",
                "--prefix",
                "none",
                "--no-dedupe",
            ])
            .args(["--format", "{p}|{l}"])
            .current_dir(workspace::root()),
    )?;
    let mut components: Vec<_> = crates(&tree);
    for name in &ebpf::committed()?.inputs.dependencies {
        let (name, version) = name.split_once(' ').context("no version")?;
        if !components
            .iter()
            .any(|one| one["name"] == name && one["version"] == version)
        {
            components.push(component(name, version, ""));
        }
    }
    components.sort_by_key(|one| one["bom-ref"].to_string());
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "memtrace",
                "name": "memtrace",
                "version": env!("CARGO_PKG_VERSION"),
                "licenses": [{"expression": env!("CARGO_PKG_LICENSE")}],
                "hashes": [{"alg": "SHA-256", "content": sha256(program)}],
            },
        },
        "components": components,
    });
    let mut bytes = serde_json::to_vec_pretty(&bom).context("encoding the SBOM")?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The crates of other people in the output of `cargo tree`.
fn crates(tree: &str) -> Vec<Value> {
    let mut lines: Vec<_> = tree.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    let parse = |line: &str| {
        let (package, license) = line.split_once('|')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        // The workspace's own have a path.
        words
            .next()
            .is_none()
            .then(|| component(name, version, license))
    };
    lines.into_iter().filter_map(parse).collect()
}

fn component(name: &str, version: &str, license: &str) -> Value {
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    });
    if !license.is_empty() {
        // Older crates write the SPDX expression with a slash.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_once_and_none_of_ours() {
        let found = crates(
            "memtrace v0.1.0 (/x/memtrace)|MIT OR Apache-2.0\nb v2.0.0|MIT/Apache-2.0\na v1.0.0|MIT\nb v2.0.0|MIT/Apache-2.0\n\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(found[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }

    #[test]
    fn of_this_checkout() -> Result<()> {
        let bom: Value = serde_json::from_slice(&of(b"abc")?)?;
        let components = bom["components"].as_array().context("no components")?;
        for name in ["aya", "aya-ebpf", "redb", "tokio"] {
            let named = components.iter().filter(|one| one["name"] == name);
            assert_eq!(named.count(), 1, "{name}");
        }
        assert!(components.iter().all(|one| one["name"] != "serde_derive"));
        Ok(())
    }
}
