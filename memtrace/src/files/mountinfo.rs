//! `/proc/PID/mountinfo`: proc_pid_mountinfo(5), fs/proc_namespace.c `show_mountinfo`.

use std::collections::HashSet;

use super::overlay::Layers;

/// One mount, with the paths as the process sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Unique while it is mounted.
    pub id: u32,
    /// The mount it is mounted on.
    pub parent_id: u32,
    /// `super_block.s_dev`, as [`FileId::device`](crate::input::FileId::device) has it.
    pub device: u32,
    /// The directory or file of the file system that is mounted.
    pub root: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// File system type, with its subtype: `ext4`, `fuse.sshfs`.
    pub fstype: String,
    /// What it is stacked from, if it is an overlay.
    pub layers: Option<Layers>,
}

/// All mounts that a process sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTable {
    mounts: Vec<Mount>,
    ids: HashSet<u32>,
}

impl MountTable {
    /// Parses a whole mountinfo. A line that does not read as a mount is left out: it would only
    /// leave files unlocated, which is said for each of them.
    pub fn parse(text: &str) -> Self {
        let mounts: Vec<_> = text.lines().filter_map(parse_line).collect();
        let ids = mounts.iter().map(|mount| mount.id).collect();
        Self { mounts, ids }
    }

    /// Every mount, in the kernel's order.
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    pub(super) fn mounts_mut(&mut self) -> &mut [Mount] {
        &mut self.mounts
    }

    /// The mount that a path lookup ends in, since a mount hides what it is mounted over; `None`
    /// if the table does not show the mount of `/`, as below a chroot.
    pub fn mount_of(&self, path: &str) -> Option<&Mount> {
        let mut found: Option<&Mount> = None;
        // Each step goes one mount deeper. A table read while mounts moved might hold a loop.
        for _ in 0..self.mounts.len() {
            let deeper = self
                .mounts
                .iter()
                .filter(|mount| match found {
                    Some(above) => mount.parent_id == above.id && mount.id != above.id,
                    None => self.is_top(mount),
                })
                .filter(|mount| below(path, &mount.mount_point).is_some())
                // The lookup comes to the shortest mount point first. Of equals the last counts.
                .rev()
                .min_by_key(|mount| mount.mount_point.len());
            match deeper {
                Some(mount) => found = Some(mount),
                None => break,
            }
        }
        found
    }

    /// Nothing that the process sees is above it.
    fn is_top(&self, mount: &Mount) -> bool {
        mount.parent_id == mount.id || !self.ids.contains(&mount.parent_id)
    }
}

/// What of `path` comes after the directory `top`: empty, or beginning with a slash. `None` if it
/// is not in it.
pub(super) fn below<'a>(path: &'a str, top: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(top.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, with any
/// number of optional fields before the dash.
fn parse_line(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let mut filesystem = filesystem.split(' ');
    let id = mount.next()?.parse().ok()?;
    let parent_id = mount.next()?.parse().ok()?;
    let (major, minor) = mount.next()?.split_once(':')?;
    let root = unescape(mount.next()?);
    let mount_point = unescape(mount.next()?);
    let fstype = unescape(filesystem.next()?);
    let options = filesystem.nth(1).unwrap_or("");
    let layers = (fstype == "overlay").then(|| Layers::parse(options));
    Some(Mount {
        id,
        parent_id,
        device: major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?,
        root,
        mount_point,
        fstype,
        layers,
    })
}

/// Undoes `seq_escape`: a blank, tab, newline or backslash is shown as `\` and three octal digits.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first, octal(after)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let digits = str::from_utf8(bytes.get(..3)?).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
pub(in crate::files) mod tests;
