//! Which file and which process stand behind most of a change.

use std::collections::BTreeMap;

use crate::{
    input::FileId,
    model::{Cause, FileRef, TaskRef, words},
};

/// A file or process "is" the change if at least this much of it is its own.
const MOST_PERCENT: u64 = 60;

/// Processes with less than the hundredth part are not counted.
const LEAST_SHARE: u64 = 100;

/// The leaders of some causes. All figures are nets, in the direction asked for.
pub(super) struct Subject<'a> {
    total_bytes: u64,
    file: Option<(&'a FileRef, u64)>,
    files: usize,
    /// Beside those that are counted, many that are not.
    many: bool,
    task: Option<&'a TaskRef>,
    tasks: usize,
}

impl<'a> Subject<'a> {
    /// Ranks files by what all their causes leave in the end: a file that was read twice and then
    /// deleted does not count. Then ranks processes by what they did to the first of the files, or
    /// to all of them if no file stands out.
    pub(super) fn of(causes: &[&'a Cause], grew: bool) -> Self {
        let signed = |cause: &Cause| if grew { cause.bytes } else { -cause.bytes };
        let mut by_file: BTreeMap<Option<FileId>, (i64, Option<&FileRef>)> = BTreeMap::new();
        for cause in causes {
            let file = cause.file.as_ref();
            let entry = by_file.entry(file.map(|f| f.id)).or_insert((0, file));
            entry.0 += signed(cause);
        }
        by_file.retain(|_, (bytes, _)| *bytes > 0);
        let total_bytes = by_file
            .values()
            .map(|(bytes, _)| bytes.unsigned_abs())
            .sum();
        let file = by_file
            .values()
            .filter_map(|(bytes, file)| Some((file.as_ref().copied()?, bytes.unsigned_abs())))
            // The first of equals: `max_by_key` would take the last.
            .reduce(|best, next| if next.1 > best.1 { next } else { best });

        let mut subject = Self {
            total_bytes,
            file,
            files: by_file.len(),
            many: causes
                .iter()
                .any(|cause| signed(cause) > 0 && cause.summed.is_some()),
            task: None,
            tasks: 0,
        };
        let only = subject.main_file().map(|(file, _)| file.id);
        let mut by_task: BTreeMap<(u32, bool), (u64, &TaskRef)> = BTreeMap::new();
        for cause in causes.iter().filter(|cause| signed(cause) > 0) {
            let counts = only.is_none() || cause.file.as_ref().map(|f| f.id) == only;
            if let (true, Some(task)) = (counts, &cause.task) {
                let entry = by_task.entry((task.pid, task.certain)).or_insert((0, task));
                entry.0 += cause.bytes.unsigned_abs();
            }
        }
        // A process that is partly known and partly guessed is one process: it is called by the part
        // that is larger.
        let mut by_pid: BTreeMap<u32, (u64, u64, &TaskRef)> = BTreeMap::new();
        for ((pid, _), (bytes, task)) in by_task {
            let entry = by_pid.entry(pid).or_insert((0, 0, task));
            entry.0 += bytes;
            if bytes > entry.1 {
                (entry.1, entry.2) = (bytes, task);
            }
        }
        // Whoever drained one batch of a thousand is not worth a word.
        let all: u64 = by_pid.values().map(|(bytes, _, _)| bytes).sum();
        subject.tasks = (by_pid.values())
            .filter(|(bytes, _, _)| bytes * LEAST_SHARE >= all)
            .count();
        subject.task = by_pid
            .into_values()
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map(|(_, _, task)| task);
        subject
    }

    /// The bytes the sentence is about: those of the file that is most of it, else all.
    pub(super) fn bytes(&self) -> u64 {
        self.main_file()
            .map_or(self.total_bytes, |(_, bytes)| bytes)
    }

    /// The file that is most of it, if one is.
    pub(super) fn file(&self) -> Option<&'a FileRef> {
        self.main_file().map(|(file, _)| file)
    }

    /// `/data/t.log`, or `12 files, most of it /data/t.log (3.0 MiB),`
    pub(super) fn files(&self) -> String {
        match (self.main_file(), self.file) {
            (Some((file, _)), _) => words::file(file),
            (None, Some((file, bytes))) if self.many => format!(
                "many files, first of them {} ({} MiB),",
                words::file(file),
                words::mib(bytes as i64)
            ),
            (None, None) if self.many => "many files".to_owned(),
            (None, Some((file, bytes))) => format!(
                "{} files, first of them {} ({} MiB),",
                self.files,
                words::file(file),
                words::mib(bytes as i64)
            ),
            (None, None) => "an unknown file".to_owned(),
        }
    }

    /// `cat (pid 4711)`, or `cat (pid 4711) and 3 others`
    pub(super) fn tasks(&self) -> String {
        match (self.task, self.tasks) {
            (None, _) if self.many => "many processes".to_owned(),
            (None, _) => "an unknown process".to_owned(),
            (Some(task), 0 | 1) => words::process(task),
            (Some(task), 2) => format!("{} and 1 other", words::process(task)),
            (Some(task), tasks) => format!("{} and {} others", words::process(task), tasks - 1),
        }
    }

    fn main_file(&self) -> Option<(&'a FileRef, u64)> {
        self.file
            .filter(|(_, bytes)| bytes * 100 >= self.total_bytes * MOST_PERCENT)
    }
}
