//! One guest: everything it needs, and one run of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::fetch::{Gone, Store};
use super::image::{Image, Payload};
use super::kernels::{Kernel, SERIES};
use super::ladder::Config;
use super::qemu::{Boot, Ended};
use super::tools::{self, Tools};
use crate::{musl, workspace};

/// What is downloaded: the tools and the kernels.
pub struct Downloads {
    tools: Tools,
    kernels: Vec<Kernel>,
    /// Series that have left the archive, and what was found out about it.
    gone: Vec<(&'static str, String)>,
}

/// What every guest shares: the downloads and our own programs.
pub struct Machines {
    downloads: Downloads,
    exit: PathBuf,
    facts: PathBuf,
    logs: PathBuf,
}

/// Limits and wishes of one run.
pub struct Run<'a> {
    /// What the guest runs.
    pub payload: &'a Payload,
    /// Added to the kernel's command line.
    pub parameters: &'a str,
    /// Limit for boot and command together.
    pub timeout: Duration,
    /// Whether the command's output is shown as it comes.
    pub echo: bool,
}

/// What one run gave.
pub struct Outcome {
    /// How the guest ended.
    pub ended: Ended,
    /// All that the command printed.
    pub output: String,
    /// Folder with the logs, and `out/` with the files brought back.
    pub folder: PathBuf,
    /// The last lines of each log.
    pub last_lines: String,
    /// Wall-clock time.
    pub took: Duration,
}

impl Downloads {
    /// Fetches the tools and the kernels of `series`, as far as the cache lacks them.
    ///
    /// A series that has left the archive does not stand in the way of the others: what is run on
    /// it fails with the reason. `update` forgets the lock file and takes the newest of everything.
    pub fn fetch(series: &[&str], update: bool) -> Result<Self> {
        let mut suites: Vec<&str> = SERIES.iter().flat_map(|s| s.suites).copied().collect();
        suites.extend(tools::SUITES);
        suites.sort_unstable();
        suites.dedup();
        let mut store = Store::open(&workspace::root().join("tests/kernels.lock"), suites)?;
        if update {
            store.lock.clear();
        }
        let tools = Tools::fetch(&mut store).context("fetch QEMU")?;
        let (mut kernels, mut gone) = (Vec::new(), Vec::new());
        for one in SERIES.iter().filter(|s| series.contains(&s.name)) {
            match one.fetch(&mut store) {
                Ok(kernel) => kernels.push(kernel),
                Err(error) if error.is::<Gone>() => {
                    eprintln!("vm: WARNING: {error:#}");
                    gone.push((one.name, format!("{error:#}")));
                }
                Err(error) => return Err(error.context(format!("fetch kernel {}", one.name))),
            }
        }
        Ok(Self {
            tools,
            kernels,
            gone,
        })
    }
}

impl Machines {
    /// Builds our programs for the guests.
    pub fn build(downloads: Downloads) -> Result<Self> {
        let own = musl::executables(&["memtrace-guest"], &["guest-exit", "guest-facts"])?;
        let [exit, facts] = <[PathBuf; 2]>::try_from(own)
            .map_err(|found| anyhow!("asked for two programs, found {found:?}"))?;
        Ok(Self {
            downloads,
            exit,
            facts,
            logs: workspace::target_dir().join("vm"),
        })
    }

    /// The kernel of a series that was fetched.
    pub fn kernel(&self, series: &str) -> Result<&Kernel> {
        let kernel = self.downloads.kernels.iter().find(|k| k.series == series);
        kernel.with_context(|| format!("kernel {series} was not fetched"))
    }

    /// Why a series cannot be run, if it has left the archive.
    pub fn gone(&self, series: &str) -> Option<&str> {
        let mut gone = self.downloads.gone.iter();
        gone.find(|(name, _)| *name == series)
            .map(|(_, why)| why.as_str())
    }

    /// The program that checks a guest without memtrace.
    pub fn facts(&self) -> &Path {
        &self.facts
    }

    /// Boots one guest and waits for its end.
    pub fn run(&self, config: Config, run: &Run<'_>) -> Result<Outcome> {
        let folder = self.logs.join(config.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let _held = hold(&folder)?;
        let started = Instant::now();
        let image = Image::write(
            &folder,
            &self.downloads.tools,
            &self.exit,
            config,
            run.payload,
        )?;
        let boot = Boot {
            vmlinuz: &self.kernel(config.series)?.vmlinuz,
            image: &image,
            parameters: run.parameters,
            logs: &folder,
            timeout: run.timeout,
            echo: run.echo,
        };
        let ended = boot.run(&self.downloads.tools)?;
        let output = folder.join("output.log");
        let output = fs::read(&output).with_context(|| format!("read {}", output.display()))?;
        let output = String::from_utf8_lossy(&output);
        let (ended, output) = last_word(ended, &output);
        let out = folder.join("out");
        if out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
        }
        if matches!(ended, Ended::Exit(_)) {
            image.bring_out(&out)?;
        }
        image.remove();
        Ok(Outcome {
            ended,
            output: output.to_owned(),
            last_lines: boot.last_lines(15),
            took: started.elapsed(),
            folder,
        })
    }
}

/// The code of a guest that could only say it, which `guest-exit` does last of all, and the output
/// before that.
fn last_word(ended: Ended, output: &str) -> (Ended, &str) {
    let (before, last) = output.trim_end().rsplit_once('\n').unwrap_or_default();
    let code = last
        .strip_prefix("guest: left with code ")
        .and_then(|code| code.parse().ok());
    match (ended, code) {
        (Ended::Died, Some(code)) => (Ended::Exit(code), before),
        (ended, _) => (ended, output),
    }
}

/// Waits until no other run uses the folder, and keeps it while the file lives.
fn hold(folder: &Path) -> Result<File> {
    let path = folder.join("busy");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_say_its_code() {
        let said = "1 passed\r\nguest: left with code 0\r\n";
        assert_eq!(last_word(Ended::Died, said), (Ended::Exit(0), "1 passed\r"));
        let panicked = "1 passed\n";
        assert_eq!(last_word(Ended::Died, panicked), (Ended::Died, panicked));
        let early = "guest: left with code 0\nx\n";
        assert_eq!(last_word(Ended::Died, early), (Ended::Died, early));
    }
}
