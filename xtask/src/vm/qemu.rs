//! Runs one guest from boot to exit.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ChildStdout, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::image::Image;
use super::tools::Tools;

/// Kernel parameters of every guest. `oops=panic`: a kernel that went wrong is a
/// failure, not something to test on. `panic=-1` with QEMU's `-no-reboot` ends it at once.
/// `no_timer_check`: on a busy machine the emulated timer looks broken to 5.10.
const PARAMETERS: &str = "console=ttyS0 panic=-1 oops=panic nokaslr mitigations=off tsc=reliable \
                          random.trust_cpu=1 no_timer_check quiet loglevel=4";
/// Without fast string instructions, which QEMU emulates byte by byte: the kernel then clears and copies
/// pages by words.
const CPU: &str = "max,-erms,-fsrm";
const MEMORY_MIB: u32 = 1024;
const CPUS: u32 = 2;

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its command ended with this code (126 stands for all above).
    Exit(u8),
    /// QEMU ended without word from the guest: a panic or a reset.
    Died,
    /// It ran into the time limit and was stopped.
    TimedOut(Duration),
    /// QEMU itself failed, or was killed by a signal.
    QemuFailed(ExitStatus),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Died => write!(f, "the kernel panicked or reset"),
            Self::TimedOut(limit) => write!(f, "no end within {} s", limit.as_secs()),
            Self::QemuFailed(status) => write!(f, "QEMU failed: {status}"),
        }
    }
}

/// One boot.
pub struct Boot<'a> {
    /// Kernel image.
    pub vmlinuz: &'a Path,
    /// Initramfs and disks.
    pub image: &'a Image,
    /// Parameters added to the kernel's command line.
    pub parameters: &'a str,
    /// Receives `console.log` (kernel), `output.log` (command) and `qemu.log`.
    pub logs: &'a Path,
    /// Limit for the whole run.
    pub timeout: Duration,
    /// Whether the command's output also goes to our standard output.
    pub echo: bool,
}

impl Boot<'_> {
    /// Boots the guest and waits for its end.
    pub fn run(&self, tools: &Tools) -> Result<Ended> {
        let create = |name: &str| {
            let path = self.logs.join(name);
            File::create(&path).with_context(|| format!("create {}", path.display()))
        };
        let output = create("output.log")?;
        create("console.log")?;
        let mut qemu = tools.qemu();
        qemu.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-monitor",
            "none",
        ]);
        qemu.args(["-run-with", "exit-with-parent=on"]);
        qemu.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", CPU]);
        qemu.args(["-smp", &CPUS.to_string(), "-m", &format!("{MEMORY_MIB}M")]);
        qemu.arg("-kernel")
            .arg(self.vmlinuz)
            .arg("-initrd")
            .arg(&self.image.initrd);
        qemu.arg("-append")
            .arg(format!("{PARAMETERS} {}", self.parameters));
        qemu.arg("-serial")
            .arg(format!("file:{}", self.logs.join("console.log").display()));
        qemu.args([
            "-serial",
            "stdio",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
        ]);
        for (id, disk) in [("data", &self.image.data), ("out", &self.image.out)] {
            let file = disk.display();
            qemu.arg("-drive").arg(format!(
                "if=none,id={id},file={file},format=raw,cache=unsafe"
            ));
            qemu.arg("-device")
                .arg(format!("nvme,drive={id},serial={id}"));
        }
        qemu.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(create("qemu.log")?);
        let started = Instant::now();
        let mut child = qemu
            .spawn()
            .with_context(|| format!("start QEMU: {qemu:?}"))?;
        let stdout = child.stdout.take().context("QEMU's output was piped")?;
        let echo = self.echo;
        let copier = thread::spawn(move || copy(stdout, output, echo));
        let status = loop {
            if let Some(status) = child.try_wait().context("wait for QEMU")? {
                break Some(status);
            }
            if started.elapsed() > self.timeout {
                child.kill().context("stop QEMU")?;
                child.wait().context("wait for QEMU")?;
                break None;
            }
            thread::sleep(Duration::from_millis(20));
        };
        match copier.join() {
            Ok(copied) => {
                copied.with_context(|| format!("write {}/output.log", self.logs.display()))?
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(match status {
            Some(status) => ended(status),
            None => Ended::TimedOut(self.timeout),
        })
    }

    /// The lines of the logs that tell most, for a failure's report.
    pub fn last_lines(&self, count: usize) -> String {
        let mut text = String::new();
        for name in ["qemu.log", "console.log", "output.log"] {
            let bytes = fs::read(self.logs.join(name)).unwrap_or_default();
            let log = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = log.lines().filter(|l| !l.trim().is_empty()).collect();
            // A kernel's report begins with its reason; the last lines are registers.
            let reason = |l: &&str| {
                ["BUG:", "Oops", "Kernel panic"]
                    .iter()
                    .any(|r| l.contains(r))
            };
            let last = lines.len().saturating_sub(count);
            let first = lines.iter().position(reason).unwrap_or(last);
            for line in lines.iter().skip(first).take(count) {
                text.push_str(&format!("    {name}: {}\n", line.trim_end()));
            }
        }
        text
    }
}

/// What QEMU's status says: `guest-exit` makes it odd and at least 3; 1 is QEMU's
/// own failure (a file that cannot be opened, a bad option).
fn ended(status: ExitStatus) -> Ended {
    match status.code().and_then(|c| u8::try_from(c).ok()) {
        Some(0) => Ended::Died,
        Some(code) if code & 1 == 1 && code > 1 => Ended::Exit((code >> 1) - 1),
        _ => Ended::QemuFailed(status),
    }
}

fn copy(mut from: ChildStdout, mut log: File, echo: bool) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        log.write_all(&buffer[..read])?;
        if echo {
            let mut stdout = io::stdout();
            stdout.write_all(&buffer[..read])?;
            stdout.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn qemu_status_tells_exit_from_death() {
        let status = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(ended(status(3)), Ended::Exit(0));
        assert_eq!(ended(status(255)), Ended::Exit(126));
        assert!(matches!(ended(status(1)), Ended::QemuFailed(_)));
        assert_eq!(ended(status(0)), Ended::Died);
        assert!(matches!(
            ended(ExitStatus::from_raw(9)),
            Ended::QemuFailed(_)
        ));
    }
}
