//! What `memtrace doctor -o json` said in a guest.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// The hook that serves one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// What it tells, e.g. `activation`.
    pub signal: String,
    /// The hook in use; `None` if the kernel took none.
    pub attached: Option<String>,
    /// Better hooks that the kernel refused, with its reasons.
    pub refused: Vec<String>,
}

/// The part of the document that the ladder needs.
#[derive(Deserialize)]
struct Document {
    hooks: Vec<Hook>,
}

#[derive(Deserialize)]
struct Hook {
    signal: String,
    attached: Option<String>,
    #[serde(default)]
    refused: Vec<Value>,
}

/// Reads the document; no rungs if it is not there or not what it should be.
pub fn read(path: &Path) -> Vec<Rung> {
    fs::read(path).map_or_else(|_| Vec::new(), |bytes| parse(&bytes))
}

fn parse(json: &[u8]) -> Vec<Rung> {
    let Ok(document) = serde_json::from_slice::<Document>(json) else {
        return Vec::new();
    };
    let rung = |hook: Hook| Rung {
        signal: hook.signal,
        attached: hook.attached,
        refused: hook.refused.iter().map(text).collect(),
    };
    document.hooks.into_iter().map(rung).collect()
}

/// A refusal is a string, or an object whose values say which hook and why.
fn text(refusal: &Value) -> String {
    match refusal {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let words = fields.values().filter_map(Value::as_str);
            words.collect::<Vec<_>>().join(": ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_of_a_document() {
        let json = br#"{"schema_version": 1, "hooks": [
            {"signal": "activation", "attached": "tp_btf mm_lru_activate",
             "refused": [{"hook": "fentry workingset_activation", "reason": "EPERM"}, "x"]},
            {"signal": "oom", "attached": null}]}"#;
        let rungs = parse(json);
        assert_eq!(rungs[0].attached.as_deref(), Some("tp_btf mm_lru_activate"));
        assert_eq!(
            rungs[0].refused,
            ["fentry workingset_activation: EPERM", "x"]
        );
        assert_eq!(rungs[1].attached, None);
        assert!(parse(b"not json").is_empty());
    }
}
