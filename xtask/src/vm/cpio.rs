//! Writes an initramfs: the "newc" cpio format of
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

const DIRECTORY: u32 = 0o040_000;
const CHARACTER: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive being written. Folders above an entry are added when first needed.
pub struct Archive<W: Write> {
    out: W,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Archive<BufWriter<File>> {
    /// Starts an archive in a new file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self::new(BufWriter::new(file)))
    }
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            folders: BTreeSet::new(),
            inode: 0,
        }
    }

    /// An empty folder.
    pub fn folder(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let folder = &path[..end];
            if !folder.is_empty() && self.folders.insert(folder.to_owned()) {
                self.entry(folder, DIRECTORY | 0o755, (0, 0), &[])?;
            }
        }
        Ok(())
    }

    /// A file with the given bytes; `mode` is its permission bits.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.parent(path)?;
        self.entry(path, REGULAR | mode, (0, 0), bytes)
    }

    /// A copy of a host file, or of a folder with all below it, with its permissions.
    pub fn copy(&mut self, path: &str, host: &Path) -> Result<()> {
        let meta = fs::metadata(host).with_context(|| format!("stat {}", host.display()))?;
        if meta.is_dir() {
            self.folder(path)?;
            let entries = fs::read_dir(host).with_context(|| format!("list {}", host.display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("list {}", host.display()))?;
                let name = entry.file_name();
                self.copy(&format!("{path}/{}", name.to_string_lossy()), &entry.path())?;
            }
            return Ok(());
        }
        let bytes = fs::read(host).with_context(|| format!("read {}", host.display()))?;
        self.file(path, meta.permissions().mode() & 0o7777, &bytes)
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.parent(path)?;
        self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub fn device(&mut self, path: &str, mode: u32, number: (u32, u32)) -> Result<()> {
        self.parent(path)?;
        self.entry(path, CHARACTER | mode, number, &[])
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush().context("write the initramfs")?;
        Ok(self.out)
    }

    fn parent(&mut self, path: &str) -> Result<()> {
        match path.rsplit_once('/') {
            Some((folder, _)) => self.folder(folder),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) -> Result<()> {
        self.inode += 1;
        self.write_entry(path, mode, device, data)
            .with_context(|| format!("write {path} to the initramfs"))
    }

    fn write_entry(
        &mut self,
        path: &str,
        mode: u32,
        device: (u32, u32),
        data: &[u8],
    ) -> io::Result<()> {
        let too_large = |_| io::Error::other("larger than the format's 4 GiB");
        let size = u32::try_from(data.len()).map_err(too_large)?;
        // A name's length counts its NUL.
        let name_size = u32::try_from(path.len() + 1).map_err(too_large)?;
        let (uid, gid, links, mtime, on_device, check) = (0, 0, 1, 0, (0, 0), 0);
        let fields = [
            self.inode,
            mode,
            uid,
            gid,
            links,
            mtime,
            size,
            on_device.0,
            on_device.1,
            device.0,
            device.1,
            name_size,
            check,
        ];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(path.as_bytes())?;
        const HEADER: usize = 6 + 13 * 8;
        self.pad(HEADER + path.len(), 1)?;
        self.out.write_all(data)?;
        self.pad(data.len(), 0)
    }

    /// Writes at least `least` zero bytes after `written`, up to a multiple of four.
    fn pad(&mut self, written: usize, least: usize) -> io::Result<()> {
        let padding = (written + least).next_multiple_of(4) - written;
        self.out.write_all(&[0; 4][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and data of each entry, read back by the format's own rules.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        let mut take = |n: usize| {
            let (head, tail) = bytes.split_at(n);
            bytes = tail;
            head
        };
        loop {
            let header = take(110);
            assert_eq!(&header[..6], b"070701");
            let field = |i: usize| {
                let text = std::str::from_utf8(&header[6 + 8 * i..14 + 8 * i]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            let name = take(name_size);
            take((4 - (110 + name_size) % 4) % 4);
            let data = take(size).to_vec();
            take((4 - size % 4) % 4);
            at += 1;
            assert!(at < 100);
            let name = String::from_utf8(name[..name_size - 1].to_vec()).unwrap();
            if name == "TRAILER!!!" {
                return entries;
            }
            entries.push((name, mode as u32, data));
        }
    }

    #[test]
    fn entries_and_their_folders() {
        let mut archive = Archive::new(Vec::new());
        archive.file("a/b/c", 0o755, b"hello").unwrap();
        archive.link("a/l", "b/c").unwrap();
        archive.device("dev/console", 0o600, (5, 1)).unwrap();
        let entries = read(&archive.finish().unwrap());
        let names: Vec<&str> = entries.iter().map(|e| e.0.as_str()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/l", "dev", "dev/console"]);
        assert_eq!(entries[2].1, 0o100_755);
        assert_eq!(entries[2].2, b"hello");
        assert_eq!(entries[3].2, b"b/c");
        assert_eq!(entries[5].1, 0o020_600);
    }
}
