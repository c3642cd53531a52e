//! The scenarios: each is something that a container does, and that people ask about.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use super::{
    room::{Room, text, truth},
    scenario::{Expected, hog, told, uncounted, verdict},
    shmem::Tmpfs,
    swap::Swap,
};
use crate::{
    cgroup::{TestCgroup, Version},
    host::Host,
    process::{self, Running},
    suite::Outcome,
};

/// How long a workload is left to its place after the answer: until its standard input ends.
fn end(mut hog: Running) -> anyhow::Result<()> {
    hog.release();
    hog.wait().map(drop)
}

/// One that holds what it allocated.
fn held<'a>(
    host: &Host,
    arguments: &[&str],
    component: &'a str,
    rules: &'a [&'a str],
    names: impl FnOnce(&Running) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    held_in(&room, arguments, component, rules, names)
}

fn held_in<'a>(
    room: &Room<'_>,
    arguments: &[&str],
    component: &'a str,
    rules: &'a [&'a str],
    names: impl FnOnce(&Running) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<Outcome> {
    if let Some(skipped) = uncounted(room, component) {
        return Ok(skipped);
    }
    let mut holding = None;
    let (_, outcome) = told(room, component, || {
        let running = room.hog_holding(arguments)?;
        let mut names = names(&running)?;
        names.push(hog(running.pid()));
        holding = Some(running);
        Ok(Expected {
            component,
            rules,
            names,
        })
    })?;
    holding.map_or(Ok(()), end)?;
    Ok(outcome)
}

/// A process that allocates and keeps.
pub(super) fn anon_leak(host: &Host) -> anyhow::Result<Outcome> {
    let bytes = host.scaled(64 << 20).to_string();
    held(host, &["anon", &bytes], "anon", &["anon"], |_| Ok(vec![]))
}

/// A file is read again, page by page.
pub(super) fn cache_read_again(host: &Host) -> anyhow::Result<Outcome> {
    read_again(host, host.page_bytes)
}

/// The same of a file whose folios are large, where the file system makes such.
pub(super) fn large_folios_read_again(host: &Host) -> anyhow::Result<Outcome> {
    read_again(host, 1 << 20)
}

fn read_again(host: &Host, chunk: u64) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let file = room.write("read-again", host.file_bytes(32 << 20)?, chunk)?;
    let (_, outcome) = told(&room, "active_file", || {
        let pid = room.hog(&["reread", file.text()?, "2"])?.pid;
        Ok(Expected {
            component: "active_file",
            rules: &["second_access"],
            names: vec![file.text()?.to_owned(), hog(pid)],
        })
    })?;
    Ok(outcome)
}

/// A log is written, line by line: page cache, but none of the working set.
pub(super) fn log_writer(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let path = room.folder().join("access.log");
    let bytes = host.file_bytes(32 << 20)?;
    let watch = room.watch()?;
    let pid = room
        .hog(&["write", text(&path)?, &bytes.to_string(), "--chunk", "120"])?
        .pid;
    let explained = watch.finish()?;
    let [_, before, after, _] = explained.readings.context("not watched")?;
    let grown = after.inactive_file_bytes as i64 - before.inactive_file_bytes as i64;
    let (_, said) = verdict(&explained)?;
    // Under MGLRU with two generations only, what was just written is in the younger of both.
    let counted = after.active_file_bytes as i64 - before.active_file_bytes as i64;
    ensure!(
        (grown + counted) as u64 >= bytes / 100 * 98,
        "the workload did something else: inactive_file {grown:+}, active_file {counted:+}"
    );
    for name in [text(&path)?.to_owned(), hog(pid)] {
        ensure!(said.contains(&name), "{name:?} is not in {said:?}");
    }
    Ok(Outcome::Passed(format!(
        "inactive_file {grown:+}, active_file {counted:+}; {said}"
    )))
}

/// A file is read through a mapping, twice.
pub(super) fn mmap_reader(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let file = room.write("mapped", host.file_bytes(32 << 20)?, host.page_bytes)?;
    let arguments = ["map", file.text()?, "2"];
    held_in(&room, &arguments, "active_file", &["second_access"], |_| {
        Ok(vec![file.text()?.to_owned()])
    })
}

/// A file of a tmpfs.
pub(super) fn tmpfs(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = host.scaled(48 << 20).to_string();
    let tmpfs = Tmpfs::mount(room.folder().join("shm"), "64m")?;
    let path = tmpfs.0.join("table");
    let arguments = ["shmem", text(&path)?, &bytes];
    held_in(&room, &arguments, "shmem", &["shmem"], |_| {
        Ok(vec![text(&path)?.to_owned()])
    })
}

/// A memfd, which has a name and no path.
pub(super) fn memfd(host: &Host) -> anyhow::Result<Outcome> {
    let bytes = host.scaled(48 << 20).to_string();
    let arguments = ["memfd", "render cache", &bytes];
    held(host, &arguments, "shmem", &["shmem"], |_| {
        Ok(vec!["memfd:render cache".to_owned()])
    })
}

/// A System V segment, by the id that ipcrm(1) takes.
pub(super) fn sysv(host: &Host) -> anyhow::Result<Outcome> {
    let bytes = host.scaled(48 << 20).to_string();
    held(host, &["sysv", &bytes], "shmem", &["shmem"], |running| {
        let said: serde_json::Value = truth(running.so_far().as_bytes())?;
        let id = said["id"].as_u64().context("no id")?;
        Ok(vec![format!("SysV segment {id}"), format!("ipcrm -m {id}")])
    })
}

/// 200,000 names that do not exist are looked up.
pub(super) fn negative_dentries(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let names = host.scaled(200_000).to_string();
    let arguments = ["dentries", text(room.folder())?, &names];
    held_in(&room, &arguments, "slab_reclaimable", &["dentries"], |_| {
        Ok(vec!["names that do not exist".to_owned()])
    })
}

/// 5,000 threads.
pub(super) fn threads(host: &Host) -> anyhow::Result<Outcome> {
    let threads = host.scaled(5_000);
    let arguments = ["threads", &threads.to_string()];
    held(host, &arguments, "kernel_stack", &["kernel_stack"], |_| {
        Ok(vec![format!("{} threads of", threads + 1)])
    })
}

/// 2,000 sockets that nobody reads.
pub(super) fn sockets(host: &Host) -> anyhow::Result<Outcome> {
    if host.hierarchy.version == Version::V1 {
        let reason = "cgroup v1 counts socket buffers apart from memory";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let pairs = host.scaled(1_000);
    let each = (96 << 10).to_string();
    let arguments = ["sockets", &pairs.to_string(), &each];
    held(host, &arguments, "sock", &["sock"], |_| {
        Ok(vec![format!("{} sockets of", 2 * pairs + 1)])
    })
}

/// A sparse mapping that costs page tables only. 6.18 counts those in `kernel` and in no part of it.
pub(super) fn page_tables(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let tables = host.scaled(8_192).to_string();
    let arguments = ["page-tables", &tables];
    let component = match stays_zero(&room, "pagetables", &["page-tables", "512"])? {
        true => "kernel_other",
        false => "pagetables",
    };
    held_in(&room, &arguments, component, &["pagetables"], |_| {
        Ok(vec!["page tables of".to_owned()])
    })
}

/// Whether memory.stat has this key, and it stays 0 whatever a workload does that should move it.
fn stays_zero(room: &Room<'_>, key: &str, arguments: &[&str]) -> anyhow::Result<bool> {
    let running = room.hog_holding(arguments)?;
    room.cgroup.read_settled()?;
    let bytes = room.cgroup.key("memory.stat", key);
    end(running)?;
    Ok(bytes == Some(0))
}

/// A file that another cgroup read first: this one uses it, that one pays.
pub(super) fn used_not_paid(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let payer = Room::new(host)?;
    let user = Room::new(host)?;
    let file = payer.write("libshared.so", host.file_bytes(16 << 20)?, host.page_bytes)?;
    let watch = user.watch()?;
    let running = user.hog_holding(&["map", file.text()?, "2"])?;
    let explained = watch.finish()?;
    let pid = running.pid();
    end(running)?;
    let (_, said) = verdict(&explained)?;
    for name in [file.text()?.to_owned(), hog(pid), payer.cgroup.name()] {
        ensure!(said.contains(&name), "{name:?} is not in {said:?}");
    }
    Ok(Outcome::Passed(said))
}

/// The same from the other side.
pub(super) fn paid_not_used(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let payer = Room::new(host)?;
    let user = Room::new(host)?;
    let file = payer.write("libshared.so", host.file_bytes(16 << 20)?, host.page_bytes)?;
    let mut holding = None;
    let (_, outcome) = told(&payer, "active_file", || {
        let running = user.hog_holding(&["map", file.text()?, "2"])?;
        let pid = running.pid();
        holding = Some(running);
        Ok(Expected {
            component: "active_file",
            rules: &["second_access"],
            names: vec![
                file.text()?.to_owned(),
                hog(pid),
                "is of another".to_owned(),
            ],
        })
    })?;
    holding.map_or(Ok(()), end)?;
    Ok(outcome)
}

/// A file whose pages belong to a cgroup that was removed.
pub(super) fn dead_cgroup(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let path = room.folder().join("left-behind");
    let bytes = host.file_bytes(16 << 20)?;
    {
        let dead = TestCgroup::create(&host.hierarchy)?;
        let (bytes, page) = (bytes.to_string(), host.page_bytes.to_string());
        let write = ["write", text(&path)?, &bytes, "--chunk", &page];
        process::run_in(&dead, room.hog_command(&write))?;
    }
    let watch = room.watch()?;
    let pid = room.hog(&["reread", text(&path)?, "2"])?.pid;
    let explained = watch.finish()?;
    let (_, said) = verdict(&explained)?;
    for name in [text(&path)?.to_owned(), hog(pid)] {
        ensure!(said.contains(&name), "{name:?} is not in {said:?}");
    }
    // From 7.1 on the pages go to the parent at once (mm/memcontrol.c, `lru_reparent_memcg`).
    ensure!(
        said.contains("(gone) pays") || said.contains("and / pays"),
        "{said:?} does not tell who pays"
    );
    Ok(Outcome::Passed(said))
}

/// Anonymous memory goes to swap and comes back.
pub(super) fn swap(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = host.scaled(64 << 20).max(24 << 20);
    let _swap = match Swap::on(&room.folder().join("swap"), 2 * bytes) {
        Ok(swap) => swap,
        Err(error) => {
            return Ok(Outcome::Skipped(format!(
                "no swap to be had here: {error:#}"
            )));
        }
    };
    let mut hog_running = room.hog_holding(&["anon-again", &bytes.to_string()])?;
    let pid = hog_running.pid();
    let names = || vec![hog(pid)];
    let (_, out) = told(&room, "anon", || {
        room.squeeze(bytes / 4)?;
        Ok(Expected {
            component: "anon",
            rules: &["swapped_out"],
            names: names(),
        })
    })?;
    let (_, back) = told(&room, "anon", || {
        hog_running.say("again\n")?;
        hog_running.wait_for_stdout("touched")?;
        Ok(Expected {
            component: "anon",
            rules: &["swapped_in"],
            names: names(),
        })
    })?;
    end(hog_running)?;
    let (Outcome::Passed(out), Outcome::Passed(back)) = (out, back) else {
        anyhow::bail!("a scenario was skipped half-way");
    };
    Ok(Outcome::Passed(format!("{out}; {back}")))
}

/// 200 small sources are compiled, one after the other: many processes, many files, all of them gone or
/// read once at the end.
pub(super) fn build(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let found = std::process::Command::new("cc").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        return Ok(Outcome::Skipped("no cc here".to_owned()));
    }
    let sources = host.scaled(200);
    for source in 0..sources {
        let text = format!(
            "#include <stdio.h>\n#include <stdlib.h>\nint f{source}(void) {{ return printf(\"%d\", {source}); }}\n"
        );
        fs::write(room.folder().join(format!("s{source}.c")), text)?;
    }
    let script = format!(
        "cd '{}' && for f in s*.c; do cc -O1 -c $f || exit 1; done",
        text(room.folder())?
    );
    let command = process::command(Path::new("sh"), ["-c", &script]);
    let explained = crate::session::explain_command(host, room.folder(), &command, 0)?;
    let answer = &explained.answer;
    let (rule, said) = verdict(&explained)?;
    // What leads is judged where the working set was highest, or over the whole if it stayed there.
    let phase = answer.phase("before_to_peak")?;
    let largest = phase
        .components
        .iter()
        .max_by_key(|part| part.delta_bytes)
        .context("no components")?;
    let words = match largest.name.as_str() {
        "anon" => "anonymous memory",
        "active_file" => "page cache",
        "lru_unmapped" => "memory that was given back",
        _ => "kernel memory",
    };
    ensure!(
        said.contains(words),
        "{largest:?} grew most, but {rule}: {said}"
    );
    let peak = answer.working_set.peak_bytes.context("no peak")?;
    Ok(Outcome::Passed(format!(
        "peak {peak}, {} {:+}; {rule}: {said}",
        largest.name, largest.delta_bytes
    )))
}
