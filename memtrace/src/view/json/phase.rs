//! A window: working set, components, causes, residual.

use serde::Serialize;

use super::{CauseJson, WindowJson, cause};
use crate::model::{Component, ErrorBound, Peak, Phase, WorkingSet};

#[derive(Serialize)]
pub(super) struct WorkingSetJson {
    before_bytes: Option<u64>,
    after_bytes: Option<u64>,
    delta_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct ComponentJson {
    name: &'static str,
    before_bytes: i64,
    after_bytes: i64,
    delta_bytes: i64,
    unattributed_bytes: i64,
    reclaimable: &'static str,
}

#[derive(Serialize)]
pub(super) struct ErrorBoundJson {
    stock_bytes: u64,
    stat_bytes: u64,
    skew_bytes: u64,
    swapcache_bytes: u64,
}

#[derive(Serialize)]
pub(super) struct PhaseJson<'a> {
    name: &'static str,
    #[serde(flatten)]
    window: WindowJson,
    working_set: WorkingSetJson,
    components: Vec<ComponentJson>,
    causes: Vec<CauseJson<'a>>,
    unexplained_bytes: Option<i64>,
    error_bound_bytes: Option<u64>,
}

impl WorkingSetJson {
    pub(super) fn new(working_set: WorkingSet, peak: Option<&Peak>) -> Self {
        Self {
            before_bytes: working_set.before_bytes,
            after_bytes: working_set.after_bytes,
            delta_bytes: working_set.delta_bytes(),
            peak_bytes: peak.map(|peak| peak.working_set_bytes),
        }
    }
}

impl From<&Component> for ComponentJson {
    fn from(component: &Component) -> Self {
        Self {
            name: component.name.as_str(),
            before_bytes: component.before_bytes,
            after_bytes: component.after_bytes,
            delta_bytes: component.delta_bytes(),
            unattributed_bytes: component.unattributed_bytes,
            reclaimable: component.reclaimable.as_str(),
        }
    }
}

impl From<ErrorBound> for ErrorBoundJson {
    fn from(bound: ErrorBound) -> Self {
        let ErrorBound {
            stock_bytes,
            stat_bytes,
            skew_bytes,
            swapcache_bytes,
        } = bound;
        Self {
            stock_bytes,
            stat_bytes,
            skew_bytes,
            swapcache_bytes,
        }
    }
}

impl<'a> From<&'a Phase> for PhaseJson<'a> {
    fn from(phase: &'a Phase) -> Self {
        let ledger = &phase.ledger;
        Self {
            name: phase.name.as_str(),
            window: WindowJson::from(phase),
            working_set: WorkingSetJson::new(phase.working_set, None),
            components: ledger.components.iter().map(ComponentJson::from).collect(),
            causes: cause::all(ledger),
            unexplained_bytes: ledger.unexplained_bytes,
            error_bound_bytes: ledger.error_bound.map(|bound| bound.total_bytes()),
        }
    }
}
