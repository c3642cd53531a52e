//! Kept reports as a list for people.

use serde_json::Value;

use crate::model::words::escaped;

const WIDTHS: [usize; 4] = [6, 22, 9, 40];

/// A line each, newest first.
pub fn list(reports: &[Value]) -> String {
    if reports.is_empty() {
        return "No kill is kept.\n".to_owned();
    }
    let mut lines = vec![line(["ID", "TIME", "LIMIT", "WHO"], "KILLED")];
    lines.extend(reports.iter().map(|report| {
        let time = text(&report["time"]).or_else(|| text(&report["noticed"]));
        line(
            [
                &report["id"].to_string(),
                time.map_or("?", |time| time.split('.').next().unwrap_or(time)),
                text(&report["limit_owner"]).unwrap_or("?"),
                &who(report),
            ],
            &killed(report),
        )
    }));
    lines.concat()
}

fn line(cells: [&str; 4], last: &str) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(WIDTHS) {
        line += &format!("{cell:<width$}");
        // A long name pushes the rest, and is never cut.
        if cell.chars().count() >= width {
            line.push(' ');
        }
    }
    format!("{line}{last}\n")
}

fn who(report: &Value) -> String {
    let name = &report["victim_name"];
    let parts: Vec<_> = ["namespace", "pod", "container"]
        .iter()
        .filter_map(|key| text(&name[key]))
        .collect();
    let known = match parts.is_empty() {
        false => Some(parts.join("/")),
        true => text(&name["container_id"])
            .map(|id| id.chars().take(12).collect())
            .or_else(|| text(&name["unit"]).map(str::to_owned))
            .or_else(|| text(&report["victim"]["cgroup"]).map(str::to_owned))
            .or_else(|| text(&report["counted_in"]).map(str::to_owned)),
    };
    known.map_or("?".to_owned(), |known| escaped(&known))
}

fn killed(report: &Value) -> String {
    let kills = report["kills"].as_u64().unwrap_or(1);
    if report["complete"] == Value::Bool(false) {
        return format!("{kills}, unseen");
    }
    let victim = &report["victim"];
    let comm = text(&victim["comm"]).unwrap_or("?");
    let more = match kills {
        0 | 1 => String::new(),
        many => format!(" and {} more", many - 1),
    };
    format!("{}[{}]{more}", escaped(comm), victim["pid"])
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_each() {
        let reports = [
            json!({"id": 3, "complete": true, "kills": 2, "time": "2026-11-21T02:14:07.312000000Z",
                   "limit_owner": "own", "victim": {"pid": 7, "comm": "java"},
                   "victim_name": {"namespace": "shop", "pod": "web-0", "container": "app"}}),
            json!({"id": 2, "complete": false, "kills": 4, "noticed": "2026-11-21T02:00:00.000000000Z",
                   "victim_name": null, "counted_in": "/a\u{1b}b"}),
        ];
        let text = list(&reports);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].starts_with("3     2026-11-21T02:14:07   own      shop/web-0/app "),
            "{text}"
        );
        assert!(lines[1].ends_with("java[7] and 1 more"));
        assert!(
            lines[2].ends_with("4, unseen") && !lines[2].contains('\u{1b}'),
            "{text}"
        );
        assert_eq!(list(&[]), "No kill is kept.\n");
    }
}
