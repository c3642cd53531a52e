//! Swap, where the kernel lets us have some.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

/// A swap file, in use until this is dropped.
pub(super) struct Swap(std::ffi::CString);

impl Swap {
    /// Makes the file and puts it to use.
    pub(super) fn on(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        let page = rustix::param::page_size();
        // A header's page, then room; written, not sparse: swap wants every block.
        let mut image = vec![0_u8; bytes as usize];
        // include/linux/swap.h, `union swap_header`: version, last page, and the magic at its end.
        image[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
        let last = (bytes / page as u64 - 1) as u32;
        image[1028..1032].copy_from_slice(&last.to_ne_bytes());
        image[page - 10..page].copy_from_slice(b"SWAPSPACE2");
        fs::write(path, image).with_context(|| format!("writing {}", path.display()))?;
        fs::File::open(path)?.sync_all()?;
        let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
        // SAFETY: the name ends with a NUL and lives as long as the call.
        let refused = unsafe { libc::swapon(name.as_ptr(), 0) } != 0;
        ensure!(!refused, "swapon: {}", std::io::Error::last_os_error());
        Ok(Self(name))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        // SAFETY: the name ends with a NUL and lives as long as the call.
        if unsafe { libc::swapoff(self.0.as_ptr()) } != 0 {
            eprintln!("swapoff: {}", std::io::Error::last_os_error());
        }
    }
}
