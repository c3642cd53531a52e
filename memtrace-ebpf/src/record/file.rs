use super::Header;
use crate::shared;

/// Longest path that is sent whole, in bytes, names and their NULs together.
pub const PATH_BYTES: usize = 3840;
/// Longest name of one path component with its NUL (`NAME_MAX` + 1).
pub const PATH_NAME_BYTES: usize = 256;

/// Bits of [`FileRecord::flags`].
pub mod file_flags {
    /// The path was longer or deeper than could be sent: names nearest the root are missing.
    pub const TRUNCATED: u32 = 1;
    /// `i_nlink` was 0: the file has no name in its file system any more.
    pub const DELETED: u32 = 2;
}

/// The name of a file, sent once per file. After this fixed part come `path_bytes` bytes: the
/// names of the dentries from the file up to its file system's root, each ended by a NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// `tag` is [`Tag::File`](super::Tag::File).
    pub header: Header,
    /// `inode.i_ino`.
    pub inode: u64,
    /// `super_block.s_dev`.
    pub device: u32,
    /// `inode.i_generation`.
    pub generation: u32,
    /// `super_block.s_type->name`, NUL-padded: `ext4`, `tmpfs`, `overlay`, ...
    pub fstype: [u8; 16],
    /// [`file_flags`].
    pub flags: u32,
    /// Length of the names that follow.
    pub path_bytes: u32,
}
shared!(FileRecord, 56);
