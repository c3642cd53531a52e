//! What others judge of deploy/ and of the image: Kubernetes' schemas, Helm, systemd, skopeo, umoci.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::tally::Tally;
use crate::deploy::validate;
use crate::{image, process, workspace};

/// What came of a check.
enum Judged {
    Held,
    Skipped(String),
}

type Check = fn() -> Result<Judged>;

/// Runs the checks whose names contain `filter`.
pub fn suite(filter: Option<&str>) -> Tally {
    let checks: [(&str, Check); 4] = [
        ("deploy::kubernetes_schemas", schemas),
        ("deploy::helm_makes_the_same", helm),
        ("deploy::systemd_takes_the_unit", unit),
        ("deploy::image_is_an_oci_layout", oci_layout),
    ];
    let mut tally = Tally::default();
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    for (name, check) in checks.into_iter().filter(|(name, _)| wanted(name)) {
        match check() {
            Ok(Judged::Held) => {
                println!("ok {name}");
                tally.passed += 1;
            }
            Ok(Judged::Skipped(why)) => tally.skipped.push(format!("{name}: {why}")),
            Err(error) => {
                println!("FAILED {name}: {error:#}");
                tally.failed.push(format!("{name}: {error:#}"));
            }
        }
    }
    tally
}

fn lacking(program: &str) -> Judged {
    Judged::Skipped(format!("there is no {program} here"))
}

fn schemas() -> Result<Judged> {
    let Some(validator) = validate::validator() else {
        return Ok(lacking("kubernetes-validate"));
    };
    validate::schemas(&validator)?;
    Ok(Judged::Held)
}

fn helm() -> Result<Judged> {
    let Some(helm) = process::find("helm", &[]) else {
        return Ok(lacking("helm"));
    };
    validate::helm(&helm)?;
    Ok(Judged::Held)
}

/// With a program that is there: systemd wants to see it.
fn unit() -> Result<Judged> {
    if process::find("systemd-analyze", &[]).is_none() {
        return Ok(lacking("systemd-analyze"));
    }
    let shipped = workspace::root().join("deploy/systemd/memtrace-agent.service");
    let text = fs::read_to_string(&shipped)?;
    let program = "ExecStart=/usr/local/bin/memtrace ";
    ensure!(text.contains(program), "no {program} in the unit");
    let folder = workspace::target_dir().join("xtask");
    fs::create_dir_all(&folder)?;
    let unit = folder.join("memtrace-agent.service");
    fs::write(&unit, text.replace(program, "ExecStart=/bin/true "))?;
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&unit)
        .output()
        .context("cannot start systemd-analyze")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(Judged::Held)
}

fn oci_layout() -> Result<Judged> {
    for program in ["skopeo", "umoci"] {
        if process::find(program, &[]).is_none() {
            return Ok(lacking(program));
        }
    }
    let folder = image::build()?;
    let size_bytes = image::size_bytes(&folder)?;
    ensure!(
        size_bytes < image::MAX_BYTES,
        "{size_bytes} bytes are more than {}",
        image::MAX_BYTES
    );
    let tagged = format!("{}:{}", folder.display(), env!("CARGO_PKG_VERSION"));
    let mut inspect = Command::new("skopeo");
    process::stdout(inspect.args(["inspect", &format!("oci:{tagged}")]))?;
    let bundle = workspace::target_dir().join("image-unpacked");
    if bundle.exists() {
        fs::remove_dir_all(&bundle)?;
    }
    let mut unpack = Command::new("umoci");
    unpack.args(["unpack", "--rootless", "--image", &tagged]);
    process::stdout(unpack.arg(&bundle))?;
    version_of(&bundle.join("rootfs/memtrace"))?;
    Ok(Judged::Held)
}

/// The program in it runs.
fn version_of(program: &Path) -> Result<()> {
    let version = process::stdout(Command::new(program).arg("--version"))?;
    ensure!(
        version.trim() == concat!("memtrace ", env!("CARGO_PKG_VERSION")),
        "{version}"
    );
    Ok(())
}
