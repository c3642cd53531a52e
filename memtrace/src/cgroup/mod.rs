//! Memory cgroups: where they are, what they hold, and one of memtrace's own.
//!
//! This module knows the differences between v1 and v2 and hides them: everything it returns
//! carries v2's names. Text is parsed from `&str` and opened elsewhere, so each parser is tested
//! on what kernels really print.

mod census;
mod children;
mod container;
mod error;
mod handle;
mod hierarchy;
mod kept;
mod kernel_file;
mod mount;
mod oom;
mod pod;
mod processes;
mod reader;
mod scope;
mod stale;
mod stat;
mod stat_lines;
mod target;
mod tree;
mod unit;
mod usage;
mod watched;

#[cfg(test)]
mod fixture;
#[cfg(test)]
pub(crate) mod live;

pub use self::{
    census::Census,
    children::children_of,
    error::CgroupError,
    handle::CgroupHandle,
    hierarchy::{Cgroup, Hierarchy},
    mount::{Mount, MountError, choose_mount, parse_mountinfo},
    oom::{has_limit, oom_cgroups, oom_memory},
    processes::{name_of_process, processes_in},
    reader::CgroupReader,
    scope::{OwnCgroup, ScopeError},
    stat::{MalformedLine, parse_memory_stat, parse_pressure},
    stat_lines::StatLines,
    target::{Places, TargetError, resolve_target},
    tree::{Visit, find_by_id, members, walk},
    usage::UsageFile,
    watched::{Look, RiskSample, WatchedCgroup},
};
pub(crate) use self::{
    container::id_in_name as container_id_in,
    unit::{is_unit, unit_of},
};
