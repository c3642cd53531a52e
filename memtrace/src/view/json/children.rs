//! The children behind a parent's change.

use serde::Serialize;

use crate::model::{Child, Children};

/// Children that are listed one by one.
const ROWS: usize = 100;

#[derive(Serialize)]
pub(super) struct ChildrenJson<'a> {
    rows: Vec<ChildJson<'a>>,
    rest_rows: usize,
    rest_delta_bytes: i64,
    own_delta_bytes: Option<i64>,
}

#[derive(Serialize)]
struct ChildJson<'a> {
    cgroup: Option<&'a str>,
    cgroup_id: u64,
    before_bytes: Option<u64>,
    after_bytes: Option<u64>,
    delta_bytes: i64,
}

impl<'a> From<&'a Children> for ChildrenJson<'a> {
    fn from(children: &'a Children) -> Self {
        let (listed, rest) = children.rows.split_at(children.rows.len().min(ROWS));
        Self {
            rows: listed.iter().map(ChildJson::from).collect(),
            rest_rows: rest.len(),
            rest_delta_bytes: rest.iter().map(Child::delta_bytes).sum(),
            own_delta_bytes: children.own_delta_bytes,
        }
    }
}

impl<'a> From<&'a Child> for ChildJson<'a> {
    fn from(child: &'a Child) -> Self {
        Self {
            cgroup: child.cgroup.path.as_deref(),
            cgroup_id: child.cgroup.id,
            before_bytes: child.before_bytes,
            after_bytes: child.after_bytes,
            delta_bytes: child.delta_bytes(),
        }
    }
}
