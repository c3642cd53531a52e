//! Judges of the manifests that are not ours: the Kubernetes schemas, and Helm where it can be had.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::{FILES, NAMESPACE, chart_folder, plain};
use crate::{process, workspace};

/// PyPI's package of the schemas, with a program of the same name.
const VALIDATOR: &str = "kubernetes-validate";
/// Pinned: which Kubernetes is checked against is decided below, not by its newest release.
const VALIDATOR_VERSION: &str = "1.37.0";
/// Kubernetes releases that the manifests are held against: the oldest that the chart admits, and
/// newer ones.
const RELEASES: [&str; 3] = ["1.25", "1.31", "1.37"];

/// The programs that install the validator, into a folder of its own below target/.
pub fn installation() -> Vec<Command> {
    let folder = folder();
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(&folder);
    let mut install = Command::new(folder.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    install.arg(format!("{VALIDATOR}=={VALIDATOR_VERSION}"));
    vec![venv, install]
}

/// The validator, if it is installed.
pub fn validator() -> Option<PathBuf> {
    process::find(VALIDATOR, &[folder().join("bin")])
}

fn folder() -> PathBuf {
    workspace::target_dir().join("kubernetes-validate")
}

/// Holds the plain manifests against the schemas. The Prometheus operator's kinds are not among them.
pub fn schemas(validator: &Path) -> Result<()> {
    for release in RELEASES {
        let mut command = Command::new(validator);
        command.args(["--strict", "--kubernetes-version", release]);
        command.arg(workspace::root().join("deploy/kubernetes").join(FILES[0].0));
        process::stdout(&mut command)?;
    }
    Ok(())
}

/// `helm lint`, and that Helm makes of the chart what the plain manifests hold.
pub fn helm(helm: &Path) -> Result<()> {
    let mut lint = Command::new(helm);
    process::stdout(lint.args(["lint", "--strict"]).arg(chart_folder()))?;
    let mut template = Command::new(helm);
    template.args(["template", "memtrace"]).arg(chart_folder());
    template.args(["--namespace", NAMESPACE, "--set", "namespace.create=true"]);
    let theirs = documents(&process::stdout(&mut template)?)?;
    let mut ours = Vec::new();
    for (_, text) in plain()? {
        ours.extend(documents(&text)?);
    }
    for one in &ours {
        ensure!(theirs.contains(one), "Helm makes something else of {one}");
    }
    ensure!(
        theirs.len() == ours.len(),
        "Helm makes {} objects, not {}",
        theirs.len(),
        ours.len()
    );
    Ok(())
}

fn documents(text: &str) -> Result<Vec<serde_json::Value>> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(text)?;
    Ok(documents.into_iter().filter(|one| !one.is_null()).collect())
}
