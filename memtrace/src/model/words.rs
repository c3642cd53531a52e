//! How sizes, files and processes are written for people, in sentences and in tables.
//!
//! Names come from whoever created the file or the process, so control characters in them are
//! escaped: a file name must not be able to move a terminal's cursor.

use super::{CgroupRef, FileRef, Pathless, TaskRef};

const MIB: f64 = 1_048_576.0;

/// `99.9`, `-0.1`; never `-0.0`.
pub(crate) fn mib(bytes: i64) -> String {
    let rounded = (bytes as f64 / MIB * 10.0).round() / 10.0;
    // -0.0 + 0.0 is 0.0.
    format!("{:.1}", rounded + 0.0)
}

/// `+99.9`, `-0.1`, `+0.0`
pub(crate) fn signed_mib(bytes: i64) -> String {
    let text = mib(bytes);
    if text.starts_with('-') {
        text
    } else {
        format!("+{text}")
    }
}

/// `/data/t.log`, `.../t.log (deleted)`, `inode 12 on device 8:1`
pub(crate) fn file(file: &FileRef) -> String {
    match file.pathless() {
        Some(Pathless::Memfd(name)) => return format!("memfd:{}", escaped(name)),
        Some(Pathless::SysV { id }) => return format!("SysV segment {id}"),
        Some(Pathless::Anonymous) => return "memory shared since fork".to_owned(),
        None => {}
    }
    let Some(name) = file.name() else {
        // include/linux/kdev_t.h, `MINORBITS`
        let (major, minor) = (file.id.device >> 20, file.id.device & 0xf_ffff);
        return format!("inode {} on device {major}:{minor}", file.id.inode);
    };
    let cut = match (&file.path, &file.container_path, file.truncated) {
        (None, None, Some(true)) => "...",
        _ => "",
    };
    let deleted = match file.deleted {
        Some(true) => " (deleted)",
        Some(false) | None => "",
    };
    format!("{cut}{}{deleted}", escaped(name))
}

/// `cat (pid 4711)`, `probably cat (pid 4711)`
pub(crate) fn process(task: &TaskRef) -> String {
    let probably = if task.certain { "" } else { "probably " };
    match &task.comm {
        Some(comm) => format!("{probably}{} (pid {})", escaped(comm), task.pid),
        None => format!("{probably}pid {}", task.pid),
    }
}

/// `cat[4711]`, `cat[4711]?` if it is a guess
pub(crate) fn process_cell(task: &TaskRef) -> String {
    let doubt = if task.certain { "" } else { "?" };
    let comm = task.comm.as_deref().unwrap_or("");
    format!("{}[{}]{doubt}", escaped(comm), task.pid)
}

/// `/shop/cart`, `cgroup 4711`, `cgroup 4711 (gone)`
pub(crate) fn cgroup(cgroup: &CgroupRef) -> String {
    match &cgroup.path {
        Some(path) => escaped(path),
        None if cgroup.gone => format!("cgroup {} (gone)", cgroup.id),
        None => format!("cgroup {}", cgroup.id),
    }
}

/// The text with control characters as `\n`, `\u{1b}`.
pub(crate) fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let (plain, escape) = if c.is_control() {
                (None, Some(c.escape_default()))
            } else {
                (Some(c), None)
            };
            plain.into_iter().chain(escape.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{input::FileId, model::testing};

    #[test]
    fn sizes_have_one_decimal_and_no_negative_zero() {
        assert_eq!(mib(104_752_742), "99.9");
        assert_eq!(mib(-1), "0.0");
        assert_eq!(signed_mib(-1), "+0.0");
        assert_eq!(signed_mib(-1_048_576), "-1.0");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(escaped("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    }

    #[test]
    fn a_file_without_a_name_goes_by_its_number() {
        let id = FileId {
            device: 8 << 20 | 1,
            inode: 12,
            generation: 0,
        };
        assert_eq!(file(&testing::unnamed(id)), "inode 12 on device 8:1");
    }

    #[test]
    fn a_path_without_its_head_says_so() {
        let id = FileId {
            device: 1,
            inode: 2,
            generation: 0,
        };
        let cut = FileRef {
            fs_path: Some("/deep/t.log".to_owned()),
            truncated: Some(true),
            deleted: Some(true),
            ..testing::unnamed(id)
        };
        assert_eq!(file(&cut), ".../deep/t.log (deleted)");
    }
}
