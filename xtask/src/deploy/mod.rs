//! `cargo xtask manifests`: the plain manifests, rendered from the Helm chart, which is their source.

mod chart;
pub mod validate;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use self::chart::Chart;
use crate::workspace;

/// Arguments of `cargo xtask manifests`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail if a file would change.
    #[arg(long)]
    check: bool,
}

/// Each plain file, and the templates it is made of.
const FILES: [(&str, &[&str]); 2] = [
    (
        "memtrace.yaml",
        &[
            "namespace.yaml",
            "serviceaccount.yaml",
            "daemonset.yaml",
            "networkpolicy.yaml",
        ],
    ),
    (
        "monitoring.yaml",
        &["podmonitor.yaml", "prometheusrule.yaml", "dashboard.yaml"],
    ),
];

/// Where the plain manifests put the agent.
const NAMESPACE: &str = "memtrace";

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    for (path, text) in plain()? {
        let is_current = fs::read_to_string(&path).is_ok_and(|found| found == text);
        match (is_current, args.check) {
            (true, _) => {}
            (false, true) => bail!("{} is out of date: `cargo xtask manifests`", path.display()),
            (false, false) => fs::write(&path, text)
                .with_context(|| format!("cannot write {}", path.display()))?,
        }
    }
    Ok(())
}

/// Where the chart is.
fn chart_folder() -> PathBuf {
    workspace::root().join("deploy/helm/memtrace")
}

/// The plain files: path and text.
fn plain() -> Result<Vec<(PathBuf, String)>> {
    let values = json!({"namespace": {"create": true}});
    let chart = Chart::read(&chart_folder(), NAMESPACE, &values)?;
    let render = |(name, templates): &(&str, &[&str])| {
        let mut text = String::from(
            "# Made from deploy/helm/memtrace by `cargo xtask manifests`; change it there.\n",
        );
        for template in *templates {
            text += &format!("---\n{}", chart.render(template)?);
        }
        Ok((workspace::root().join("deploy/kubernetes").join(name), text))
    };
    FILES.iter().map(render).collect()
}
