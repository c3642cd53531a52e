//! `explain -o json`, schema version 1. `docs/json/explain.md` documents every key; a key is added
//! without a new version, but none is removed or given another meaning.

mod cause;
mod children;
mod comeback;
mod exact;
mod hints;
mod phase;
mod reclaim;
mod session;
mod trust;

use serde::Serialize;

use self::{
    cause::{CauseJson, TrafficList},
    children::ChildrenJson,
    comeback::ComebackJson,
    exact::ExactJson,
    hints::KernelHintsJson,
    phase::{ComponentJson, ErrorBoundJson, PhaseJson, WorkingSetJson},
    reclaim::ReclaimJson,
    session::{
        KernelJson, OomKillJson, RefaultsJson, RunJson, SizesJson, TargetJson, ViewJson, WindowJson,
    },
    trust::TrustJson,
};
use crate::model::Explanation;

/// Version of the schema.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole answer. Equal explanations give equal bytes.
pub fn render(explanation: &Explanation) -> String {
    let mut text = serde_json::to_string_pretty(&ExplainJson::from(explanation))
        .expect("every key is a string and no Serialize impl of these types fails");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct ExplainJson<'a> {
    schema_version: u32,
    command: &'static str,
    memtrace_version: &'a str,
    verdict: String,
    verdict_rules: Vec<&'static str>,
    target: TargetJson<'a>,
    kernel: KernelJson<'a>,
    window: WindowJson,
    working_set: WorkingSetJson,
    components: Vec<ComponentJson>,
    causes: Vec<CauseJson<'a>>,
    unexplained_bytes: Option<i64>,
    error_bound_bytes: Option<u64>,
    error_bound: Option<ErrorBoundJson>,
    phases: Vec<PhaseJson<'a>>,
    sizes: SizesJson,
    views: Vec<ViewJson>,
    would_come_back: Option<ComebackJson>,
    exact: Option<Vec<ExactJson<'a>>>,
    page_cache: TrafficList<'a>,
    used_but_charged_elsewhere: TrafficList<'a>,
    charged_but_used_elsewhere: TrafficList<'a>,
    children: Option<ChildrenJson<'a>>,
    kernel_hints: KernelHintsJson<'a>,
    reclaim: ReclaimJson<'a>,
    refaults: Option<RefaultsJson>,
    oom_kills: Vec<OomKillJson<'a>>,
    run: Option<RunJson<'a>>,
    trust: TrustJson<'a>,
}

impl<'a> From<&'a Explanation> for ExplainJson<'a> {
    fn from(explanation: &'a Explanation) -> Self {
        let Explanation {
            facts,
            whole,
            phases,
            peak,
            before,
            after,
            views,
            comeback,
            exact,
            page_cache,
            foreign,
            used_elsewhere,
            children,
            hints,
            oom_kills,
            reclaim,
            refaults,
            run,
            trust,
            verdict,
        } = explanation;
        let ledger = &whole.ledger;
        Self {
            schema_version: SCHEMA_VERSION,
            command: "explain",
            memtrace_version: &facts.memtrace_version,
            verdict: verdict.text(),
            verdict_rules: verdict.sentences.iter().map(|s| s.rule.id()).collect(),
            target: TargetJson::from(&facts.scope),
            kernel: KernelJson::from(facts),
            window: WindowJson::from(whole),
            working_set: WorkingSetJson::new(whole.working_set, peak.as_ref()),
            components: ledger.components.iter().map(ComponentJson::from).collect(),
            causes: cause::all(ledger),
            unexplained_bytes: ledger.unexplained_bytes,
            error_bound_bytes: ledger.error_bound.map(|bound| bound.total_bytes()),
            error_bound: ledger.error_bound.map(ErrorBoundJson::from),
            phases: phases.iter().map(PhaseJson::from).collect(),
            sizes: SizesJson::new(before, after, peak.as_ref()),
            views: views.steps.iter().map(ViewJson::from).collect(),
            would_come_back: comeback.map(ComebackJson::from),
            exact: exact
                .as_ref()
                .map(|changes| changes.iter().map(ExactJson::from).collect()),
            page_cache: TrafficList::from(page_cache.as_slice()),
            used_but_charged_elsewhere: TrafficList::from(foreign.as_slice()),
            charged_but_used_elsewhere: TrafficList::from(used_elsewhere.as_slice()),
            children: children.as_ref().map(ChildrenJson::from),
            kernel_hints: KernelHintsJson::from(hints),
            reclaim: ReclaimJson::new(reclaim, facts.page_size_bytes),
            refaults: refaults.map(RefaultsJson::from),
            oom_kills: oom_kills.iter().map(OomKillJson::from).collect(),
            run: run.as_ref().map(RunJson::from),
            trust: TrustJson::from(trust),
        }
    }
}
