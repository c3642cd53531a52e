//! Where the target sees a file.
//!
//! The kernel side names a file by its super block's device and the path from that file system's
//! root, because that is all a page leads to. Here it is joined to the mounts of the target's
//! mount namespace. A page of a file on overlayfs belongs to the lower or upper layer's inode, so
//! for those the layer's directory is found first, and then the overlay that shows it.

mod locate;
mod locator;
mod mountinfo;
mod namespace;
mod overlay;

pub use self::{
    locator::FileLocator,
    mountinfo::{Mount, MountTable},
    namespace::{FilesError, MountNamespace},
};
