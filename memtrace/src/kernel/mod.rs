//! The only place that knows kernel differences: facts -> plan -> attach.
//!
//! [`facts`] asks the kernel (BTF, sysfs), [`plan`] decides from the answers which rung of which
//! signal to try, [`attach`] tries, and keeps the reason of every rung that was refused. Nothing is
//! decided from a version string.

pub mod attach;
pub mod btf;
pub mod callers;
pub mod dentries;
pub mod facts;
pub mod flush;
pub mod hooks;
pub mod layout;
pub mod plan;
pub mod privileges;
pub mod programs;
pub mod seccomp;
pub mod symbols;
