//! The Helm chart, rendered without Helm. It understands the part of Helm's language that the chart
//! keeps to, and refuses the rest: `{{ .Values.x }}`, `{{ toJson .Values.x }}`, `.Release.Namespace`,
//! `.Chart.*`, and alone on their lines `if`, `range`, `end` and `.Files.Get ... | indent N`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// A chart, with its values.
pub struct Chart {
    folder: PathBuf,
    /// What templates see as `.`: `Values`, `Chart`, `Release`.
    scope: Value,
}

impl Chart {
    /// Reads a chart's folder. `values` go over the chart's own, key by key.
    pub fn read(folder: &Path, namespace: &str, values: &Value) -> Result<Self> {
        let mut own = yaml(&folder.join("values.yaml"))?;
        merge(&mut own, values);
        let chart = yaml(&folder.join("Chart.yaml"))?;
        Ok(Self {
            folder: folder.to_owned(),
            scope: json!({
                "Values": own,
                "Chart": {
                    "Name": chart["name"],
                    "Version": chart["version"],
                    "AppVersion": chart["appVersion"],
                },
                "Release": {"Namespace": namespace, "Name": "memtrace"},
            }),
        })
    }

    /// What templates see at a path such as `.Values.image.tag`.
    #[cfg(test)]
    pub fn value(&self, path: &str) -> Result<&Value> {
        lookup(path, &self.scope, &Value::Null)
    }

    /// The text that a template makes.
    pub fn render(&self, template: &str) -> Result<String> {
        let path = self.folder.join("templates").join(template);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines: Vec<_> = text.lines().collect();
        let mut out = String::new();
        let rest = self.block(&lines, &Value::Null, true, &mut out);
        let rest = rest.with_context(|| format!("in {}", path.display()))?;
        ensure!(rest == lines.len(), "{}: an end too many", path.display());
        Ok(out)
    }

    /// Renders up to the `end` of this block, and returns how many lines that were. Where it is not
    /// `wanted`, it only looks for the end.
    fn block(&self, lines: &[&str], item: &Value, wanted: bool, out: &mut String) -> Result<usize> {
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            at += 1;
            let Some(action) = alone(line) else {
                if wanted {
                    self.line(line, item, out)?;
                }
                continue;
            };
            let inner = lines.get(at..).unwrap_or_default();
            match action.split_once(' ').unwrap_or((action, "")) {
                ("end", "") => return Ok(at),
                ("if", what) => {
                    let wanted = wanted && is_true(lookup(what, &self.scope, item)?);
                    at += self.block(inner, item, wanted, out)?;
                }
                ("range", what) => {
                    let list = lookup(what, &self.scope, item)?.as_array();
                    let list = list.with_context(|| format!("{what} is no list"))?;
                    for item in list {
                        self.block(inner, item, wanted, out)?;
                    }
                    at += self.block(inner, item, false, &mut String::new())?;
                }
                _ => bail!("{line}: not understood"),
            }
        }
        Ok(at)
    }

    fn line(&self, line: &str, item: &Value, out: &mut String) -> Result<()> {
        let mut rest = line;
        while let Some((before, more)) = rest.split_once("{{ ") {
            let (action, after) = more.split_once(" }}").context("no end of an action")?;
            out.push_str(before);
            out.push_str(&self.action(action, item)?);
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
        Ok(())
    }

    fn action(&self, action: &str, item: &Value) -> Result<String> {
        if let Some(path) = action.strip_prefix("toJson ") {
            return Ok(lookup(path, &self.scope, item)?.to_string());
        }
        if let Some(file) = action.strip_prefix(".Files.Get ") {
            let (name, filter) = file.split_once(" | indent ").context("no indent")?;
            let path = self.folder.join(name.trim_matches('"'));
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            return Ok(indented(text.trim_end(), filter.parse()?));
        }
        match lookup(action, &self.scope, item)? {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => bail!("{action} is {other}: use toJson"),
        }
    }
}

/// `if x` of a line that is nothing but `{{- if x }}`.
fn alone(line: &str) -> Option<&str> {
    line.trim().strip_prefix("{{- ")?.strip_suffix(" }}")
}

fn lookup<'a>(path: &str, scope: &'a Value, item: &'a Value) -> Result<&'a Value> {
    if path == "." {
        return Ok(item);
    }
    let keys = path.strip_prefix('.').with_context(|| format!("{path}?"))?;
    keys.split('.')
        .try_fold(scope, |value, key| value.get(key))
        .with_context(|| format!("there is no {path}"))
}

/// As Go's templates see it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// As Sprig's `indent`: every line, also an empty one.
fn indented(text: &str, width: usize) -> String {
    let indent = " ".repeat(width);
    let lines: Vec<_> = text.lines().map(|line| format!("{indent}{line}")).collect();
    lines.join("\n")
}

fn merge(own: &mut Value, over: &Value) {
    match (own, over) {
        (Value::Object(own), Value::Object(over)) => {
            for (key, value) in over {
                merge(own.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (own, over) => *own = over.clone(),
    }
}

/// The one document of a YAML file.
pub fn yaml(path: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        write("Chart.yaml", "name: x\nversion: 1.0.0\nappVersion: '2'\n")?;
        write(
            "values.yaml",
            "on: true\noff: {}\nlist: [a, 'b c']\nport: 80\n",
        )?;
        write("file", "one\ntwo\n")?;
        fs::create_dir(folder.path().join("templates"))?;
        write("templates/t", template)?;
        let values = json!({"extra": {"deep": "x"}});
        Chart::read(folder.path(), "here", &values)?.render("t")
    }

    #[test]
    fn what_the_chart_uses() {
        let text = rendered(
            "{{- if .Values.on }}\na: {{ .Values.port }}/{{ .Chart.AppVersion }}\n{{- if .Values.off }}\n\
             never: {{ .Values.none }}\n{{- range .Values.list }}\n{{- end }}\n{{- end }}\n\
             {{- range .Values.list }}\n- {{ toJson . }}\n{{- end }}\nb: {{ .Release.Namespace }}\n\
             c: |\n{{ .Files.Get \"file\" | indent 2 }}\n{{- end }}\nd: {{ .Values.extra.deep }}\n",
        );
        let wanted = "a: 80/2\n- \"a\"\n- \"b c\"\nb: here\nc: |\n  one\n  two\nd: x\n";
        assert_eq!(text.unwrap(), wanted);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for template in [
            "a: {{ .Values.none }}\n",
            "a: {{ .Values.list }}\n",
            "a: {{ default 1 .Values.port }}\n",
            "{{- with .Values.on }}\n{{- end }}\n",
            "{{- end }}\na: b\n",
        ] {
            assert!(rendered(template).is_err(), "{template}");
        }
    }
}
