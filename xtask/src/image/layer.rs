//! The layer: a tar file that depends on nothing but what is in it.

use std::path::Path;

use anyhow::{Context as _, Result};
use tar::{Builder, EntryType, Header};

/// A file of root's.
pub struct File<'a> {
    /// From the image's root, without a slash before it.
    pub path: &'a str,
    pub mode: u32,
    pub bytes: &'a [u8],
}

/// A tar file with `files`, and the folders they are in.
pub fn tar(files: &[File<'_>]) -> Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for file in files {
        let mut folders: Vec<_> = Path::new(file.path).ancestors().skip(1).collect();
        // The last one is the root itself.
        folders.pop();
        for folder in folders.into_iter().rev() {
            let mut header = header(EntryType::Directory, 0o755, 0);
            builder
                .append_data(&mut header, folder, std::io::empty())
                .with_context(|| format!("packing {}", folder.display()))?;
        }
        let mut header = header(EntryType::Regular, file.mode, file.bytes.len() as u64);
        builder
            .append_data(&mut header, file.path, file.bytes)
            .with_context(|| format!("packing {}", file.path))?;
    }
    builder.into_inner().context("packing the layer")
}

/// Of root's, and of no time.
fn header(kind: EntryType, mode: u32, size_bytes: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size_bytes);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
