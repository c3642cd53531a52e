//! The part of a kept report that says how it stood besides, and what to do.

use super::kill::labelled;
use crate::model::{
    oom::{Earlier, Growth, KillStory, Sizing},
    words::mib,
};

/// What the agent knows besides the kill.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// `MemAvailable` at the last tick, bytes.
    pub available_bytes: Option<u64>,
    /// What the node's working set could grow until the kubelet evicts, bytes.
    pub eviction_headroom_bytes: Option<u64>,
    /// How long the domain's 15-minute risk had stood above 0.8, ns; `None` if it did not.
    pub risk_high_for_ns: Option<u64>,
    /// Kills of the same container within a day.
    pub earlier: Earlier,
}

/// Lines for people.
pub(super) fn lines(story: &KillStory, about: &Circumstances) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |label: &str, text: &str| lines.extend(labelled(label, text));
    if let Some(ns) = about.risk_high_for_ns {
        let text = format!("15m risk above 0.8 for {}", lasting(ns as f64 / 1e9));
        say("RISK", &text);
    }
    let size = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| mib(bytes as i64));
    let mut node = format!("available {} MiB", size(about.available_bytes));
    if about.eviction_headroom_bytes.is_some() {
        node += &format!("; eviction in {} MiB", size(about.eviction_headroom_bytes));
    }
    say("NODE", &node);
    let Earlier { kills, alike } = about.earlier;
    if kills > 0 {
        let text = format!("{kills} kills of it within a day, {alike} of them alike");
        say("BEFORE", &text);
    }
    if let Some(sizing) = Sizing::of(story, about.earlier) {
        let (figures, advice) = words(&sizing);
        say("SIZING", &figures);
        say("DO", &advice);
    }
    lines
}

fn words(sizing: &Sizing) -> (String, String) {
    match sizing {
        Sizing::Lowered {
            from_bytes,
            to_bytes,
        } => (
            format!(
                "the limit was lowered from {} to {} MiB",
                mib(*from_bytes as i64),
                mib(*to_bytes as i64)
            ),
            "set it back, or lower it only as far as what is used and stays".to_owned(),
        ),
        Sizing::Node => (
            "the machine ran out; no limit of the victim's was reached".to_owned(),
            "find who grows: memtrace_container_unreclaimable_bytes by its rate, those without a \
             limit first"
                .to_owned(),
        ),
        Sizing::Leak {
            growth,
            doubling_buys_seconds,
        } => (
            format!(
                "{}; twice the limit would buy {}: a leak, no limit holds it",
                grows(growth),
                lasting(*doubling_buys_seconds)
            ),
            hint(growth.part, true).to_owned(),
        ),
        Sizing::Grew {
            growth,
            doubling_buys_seconds,
        } => (
            format!(
                "{}; twice the limit would buy {} if it went on so",
                grows(growth),
                lasting(*doubling_buys_seconds)
            ),
            hint(growth.part, false).to_owned(),
        ),
    }
}

fn grows(growth: &Growth) -> String {
    format!(
        "{} grew by {} MiB/s",
        growth.part,
        mib(growth.bytes_per_second as i64)
    )
}

/// By what grew, and whether it is known to be a leak.
fn hint(part: &str, leak: bool) -> &'static str {
    match (part, leak) {
        ("anon", true) => {
            "a heap dump when the 15m risk alert comes; restart it at a time of your choosing"
        }
        ("anon", false) => {
            "was there more load? then raise the limit, else watch whether it comes again: a leak"
        }
        ("shmem", _) => {
            "files in tmpfs or shared memory: give the emptyDir a sizeLimit, or delete them"
        }
        ("file", _) => "page cache that could not be written back in time: is the disk slow?",
        ("sock", _) => "data that waits in sockets: who does not read?",
        ("kernel_stack", _) => "threads: who starts them, and do they end?",
        ("pagetables", _) => "page tables: many processes, or huge sparse mappings",
        _ => "kernel memory: `memtrace explain` names the processes behind it",
    }
}

fn lasting(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_every_sizing_have_words() {
        assert_eq!(
            [lasting(90.0), lasting(600.0), lasting(36_000.0)],
            ["90 s", "10 min", "10 h"]
        );
        let growth = Growth {
            part: "anon",
            bytes_per_second: 1_048_576.0,
        };
        let (figures, advice) = words(&Sizing::Leak {
            growth,
            doubling_buys_seconds: 32.0,
        });
        assert_eq!(
            figures,
            "anon grew by 1.0 MiB/s; twice the limit would buy 32 s: a leak, no limit holds it"
        );
        assert!(advice.contains("heap dump"));
        for part in crate::model::oom::PARTS {
            assert!(!hint(part, false).is_empty() && !hint(part, true).is_empty());
        }
    }
}
