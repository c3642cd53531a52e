//! Everything that differs between kernels. What a kernel has is read from its BTF and from what it
//! answers, never from its version string.

pub mod btf;
pub mod layout;
