//! A receiver of OTLP that is not ours: VictoriaMetrics of Debian's next release, unpacked into the
//! cache. (Debian builds Prometheus without its OTLP endpoint: changelog of 2.53.1+ds-1, #1080354.)

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::vm::apt::{self, Apt};
use crate::vm::fetch::cache_folder;

const SUITES: [&str; 1] = ["forky"];
const PACKAGE: &str = "victoria-metrics";
const INDEX_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Its path.
pub(super) fn find() -> Result<PathBuf> {
    let folder = cache_folder()?.join(PACKAGE);
    let program = folder.join("unpacked/usr/bin/victoria-metrics");
    if !program.is_file() {
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let archive = Apt::open(&folder, &SUITES)?;
        archive.refresh(INDEX_MAX_AGE)?;
        let package = archive
            .versions(&SUITES, PACKAGE, |name| name == PACKAGE)?
            .into_iter()
            .next()
            .context("the archive has no such package")?;
        let unpacked = folder.join("unpacked");
        fs::create_dir_all(&unpacked).with_context(|| format!("create {}", unpacked.display()))?;
        apt::unpack(&archive.download(&package)?, &unpacked)?;
    }
    ensure!(
        program.is_file(),
        "the package has no {}",
        program.display()
    );
    Ok(program)
}
