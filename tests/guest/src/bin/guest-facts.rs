//! `guest-facts`: checks that a guest is what the ladder says it is, without memtrace.
//!
//! When the suite fails on one kernel only, this tells a broken guest from a broken
//! memtrace. It prints one line per check and a closing line, as the suite does. Its
//! last check is the experiment that memtrace explains: a file read twice turns from
//! inactive to active, but on MGLRU it does not.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

const FILE: &str = "/data/guest-facts";
const FILE_BYTES: u64 = 100 << 20;
/// The counters of memory.stat are summed per CPU in batches, so they may be late and
/// a little off; see the kernel's mm/memcontrol.c, MEMCG_CHARGE_BATCH.
const TOLERANCE_BYTES: u64 = 2 << 20;

type Check = Result<String, String>;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if let (Some(verb), Some(cgroup)) = (args.next(), args.next()) {
        return match child(&verb, &cgroup) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("guest-facts {verb}: {e}");
                ExitCode::FAILURE
            }
        };
    }
    let wanted = |key| std::env::var(key).unwrap_or_default();
    let (cgroup, lru) = (wanted("GUEST_CGROUP"), wanted("GUEST_LRU"));
    let checks: [(&str, Check); 5] = [
        ("btf", btf()),
        ("tracing", tracing()),
        ("memory_controller", memory_controller(&cgroup)),
        ("lru", multi_gen(&lru)),
        ("second_read", second_read(&cgroup, &lru)),
    ];
    let mut failed = 0;
    for (name, check) in &checks {
        match check {
            Ok(figures) => println!("ok {name} ({figures})"),
            Err(why) => {
                failed += 1;
                println!("FAILED {name}: {why}");
            }
        }
    }
    println!(
        "{} passed, {failed} failed, 0 skipped",
        checks.len() - failed
    );
    ExitCode::from(u8::from(failed > 0))
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"))
}

/// The kernel describes its own types: include/uapi/linux/btf.h, BTF_MAGIC.
fn btf() -> Check {
    let path = "/sys/kernel/btf/vmlinux";
    let bytes = fs::read(path).map_err(|e| format!("read {path}: {e}"))?;
    if bytes.first_chunk() != Some(&0xeb9f_u16.to_le_bytes()) {
        return Err(format!("{path} does not start with the BTF magic"));
    }
    Ok(format!("{} bytes", bytes.len()))
}

fn tracing() -> Check {
    let events = "/sys/kernel/tracing/events/pagemap/mm_lru_activate/id";
    let id = read(events)?;
    let kprobes = Path::new("/sys/kernel/tracing/kprobe_events").exists();
    kprobes
        .then(|| format!("mm_lru_activate is event {}", id.trim()))
        .ok_or_else(|| "no kprobe_events in tracefs".into())
}

/// Only the wanted version has the memory controller.
fn memory_controller(wanted: &str) -> Check {
    let v1 = Path::new("/sys/fs/cgroup/memory/memory.stat").exists();
    let v2 = read("/sys/fs/cgroup/cgroup.controllers")
        .is_ok_and(|list| list.split_whitespace().any(|c| c == "memory"));
    match (wanted, v1, v2) {
        ("v1", true, false) | ("v2", false, true) => Ok(format!("cgroup {wanted}")),
        _ => Err(format!(
            "wanted cgroup {wanted}; memory on v1: {v1}, on v2: {v2}"
        )),
    }
}

/// Bit 0 of `enabled` is LRU_GEN_CORE of include/linux/mmzone.h.
fn multi_gen(wanted: &str) -> Check {
    let path = "/sys/kernel/mm/lru_gen/enabled";
    let on = match fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim();
            let bits = u32::from_str_radix(text.trim_start_matches("0x"), 16);
            bits.map_err(|e| format!("{path}: {text}: {e}"))? & 1 == 1
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(format!("read {path}: {e}")),
    };
    if on == (wanted == "mglru") {
        Ok(wanted.to_owned())
    } else {
        Err(format!("wanted {wanted}; MGLRU is on: {on}"))
    }
}

/// Writes a file and reads it twice, in a cgroup of its own.
fn second_read(version: &str, lru: &str) -> Check {
    let (root, prefix) = match version {
        "v1" => ("/sys/fs/cgroup/memory", "total_"),
        _ => ("/sys/fs/cgroup", ""),
    };
    let cgroup = format!("{root}/memtrace-facts");
    fs::create_dir_all(&cgroup).map_err(|e| format!("create {cgroup}: {e}"))?;
    let figures = experiment(&cgroup, prefix, lru);
    let _ = fs::remove_file(FILE);
    fs::remove_dir(&cgroup).map_err(|e| format!("remove {cgroup}: {e}"))?;
    figures
}

fn experiment(cgroup: &str, prefix: &str, lru: &str) -> Check {
    let lists = || -> Result<(u64, u64), String> {
        let stat = read(&format!("{cgroup}/memory.stat"))?;
        let value = |key: &str| {
            let key = format!("{prefix}{key} ");
            let value = stat
                .lines()
                .find_map(|l| l.strip_prefix(&key)?.parse().ok());
            value.ok_or_else(|| format!("no {key}in memory.stat"))
        };
        Ok((value("inactive_file")?, value("active_file")?))
    };
    // Pages wait in per-CPU batches and counters are flushed every two seconds.
    let expect = |what: &str, inactive: u64, active: u64| -> Result<(), String> {
        let mut found = (0, 0);
        for _ in 0..50 {
            found = lists()?;
            let near = |a: u64, b: u64| a.abs_diff(b) <= TOLERANCE_BYTES;
            if near(found.0, inactive) && near(found.1, active) {
                return Ok(());
            }
            sleep(Duration::from_millis(100));
        }
        let mib = |bytes: u64| bytes >> 20;
        Err(format!(
            "after {what}: inactive_file {} MiB, active_file {} MiB; expected {} and {}",
            mib(found.0),
            mib(found.1),
            mib(inactive),
            mib(active)
        ))
    };
    in_cgroup("write", cgroup)?;
    expect("writing", FILE_BYTES, 0)?;
    in_cgroup("read", cgroup)?;
    in_cgroup("read", cgroup)?;
    match lru {
        "mglru" => expect("two reads", FILE_BYTES, 0),
        _ => expect("two reads", 0, FILE_BYTES),
    }?;
    let (inactive, active) = lists()?;
    Ok(format!(
        "inactive_file {inactive} bytes, active_file {active} bytes"
    ))
}

/// Runs this program again, inside the cgroup.
fn in_cgroup(verb: &str, cgroup: &str) -> Result<(), String> {
    let status = Command::new("/proc/self/exe").args([verb, cgroup]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{verb}: {status}")),
        Err(e) => Err(format!("start {verb}: {e}")),
    }
}

fn child(verb: &str, cgroup: &str) -> io::Result<()> {
    fs::write(format!("{cgroup}/cgroup.procs"), "0")?;
    let mut buffer = vec![0; 1 << 16];
    if verb == "write" {
        let mut file = File::create(FILE)?;
        for _ in 0..FILE_BYTES / buffer.len() as u64 {
            file.write_all(&buffer)?;
        }
        return file.sync_all();
    }
    let mut file = File::open(FILE)?;
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}
