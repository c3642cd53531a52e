//! What must hold of everything under deploy/.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::*;

fn read(path: &str) -> String {
    let path = workspace::root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All documents of the plain manifests.
fn documents() -> Vec<Value> {
    let plain = plain().unwrap();
    let documents = plain
        .iter()
        .flat_map(|(_, text)| serde_saphyr::from_multiple::<Value>(text).unwrap());
    documents.collect()
}

fn document(kind: &str) -> Value {
    let mut documents = documents().into_iter();
    documents.find(|one| one["kind"] == kind).unwrap()
}

#[test]
fn plain_manifests_are_what_the_chart_makes() {
    run(&Args { check: true }).unwrap();
    let kinds: Vec<_> = documents()
        .iter()
        .map(|one| one["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "Namespace",
            "ServiceAccount",
            "DaemonSet",
            "NetworkPolicy",
            "PodMonitor",
            "PrometheusRule",
            "ConfigMap"
        ]
    );
    // Each template is in one of them.
    let templates = fs::read_dir(chart_folder().join("templates")).unwrap();
    let used: usize = FILES.iter().map(|(_, templates)| templates.len()).sum();
    assert_eq!(templates.count(), used);
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = Chart::read(&chart_folder(), NAMESPACE, &json!({})).unwrap();
    for path in [".Chart.Version", ".Chart.AppVersion", ".Values.image.tag"] {
        assert_eq!(
            chart.value(path).unwrap(),
            env!("CARGO_PKG_VERSION"),
            "{path}"
        );
    }
}

#[test]
fn the_agent_may_do_what_is_documented_and_nothing_else() {
    let daemon_set = document("DaemonSet");
    let pod = &daemon_set["spec"]["template"]["spec"];
    assert_eq!(pod["hostPID"], true);
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["hostNetwork"], Value::Null);
    assert_eq!(
        daemon_set["spec"]["updateStrategy"]["type"],
        "RollingUpdate"
    );
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["runAsUser"], 0);
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let added = security["capabilities"]["add"].as_array().unwrap();
    let guide = read("deploy/README.md");
    let documented: Vec<_> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `CAP_")?.split_once('`'))
        .filter(|(_, rest)| rest.contains("always"))
        .map(|(name, _)| Value::from(name))
        .collect();
    assert_eq!(*added, documented);
    // Every mount is documented, the host's are read-only but the history, and none is of `/`.
    let mounts = container["volumeMounts"].as_array().unwrap();
    for volume in pod["volumes"].as_array().unwrap() {
        let mount = mounts.iter().find(|mount| mount["name"] == volume["name"]);
        let mount = mount.unwrap();
        let Some(path) = volume["hostPath"]["path"].as_str() else {
            continue;
        };
        assert!(guide.contains(&format!("| `{path}` |")), "{path}");
        assert!(path.len() > 1 && !path.contains(".sock"), "{path}");
        if path != "/var/lib/memtrace" {
            assert_eq!(mount["readOnly"], true, "{path}");
            assert_eq!(mount["mountPropagation"], "HostToContainer", "{path}");
        }
    }
}

#[test]
fn one_file_has_the_rules() {
    let rules = read("deploy/prometheus/memtrace.rules.yml");
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    assert_eq!(document("PrometheusRule")["spec"], rules);
    let dashboard = read("deploy/grafana/memtrace.json");
    let map = document("ConfigMap");
    let shipped = map["data"]["memtrace.json"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(shipped).unwrap(),
        serde_json::from_str::<Value>(&dashboard).unwrap()
    );
}

#[test]
fn the_metrics_say_whose_they_are() {
    let monitor = document("PodMonitor");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["honorLabels"], true);
    let daemon_set = document("DaemonSet");
    let ports = &daemon_set["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert_eq!(endpoint["port"], ports[0]["name"]);
    let policy = document("NetworkPolicy");
    assert_eq!(
        policy["spec"]["ingress"][0]["ports"][0]["port"],
        ports[0]["name"]
    );
}

/// Names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("memtrace_"))
        .collect()
}

#[test]
fn dashboard_and_rules_use_metrics_that_there_are() {
    let document = read("docs/METRICS.md");
    let known = metrics(&document);
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/memtrace.json")).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let used = metrics(target["expr"].as_str().unwrap());
            assert!(!used.is_empty() && used.is_subset(&known), "{used:?}");
            asked += used.len();
        }
    }
    assert!(asked >= 10, "{asked}");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let used = metrics(variable["query"].as_str().unwrap_or_default());
        assert!(used.is_subset(&known), "{used:?}");
    }
    let rules = read("deploy/prometheus/memtrace.rules.yml");
    let used = rules.lines().filter(|line| line.contains("expr:"));
    for line in used {
        assert!(metrics(line).is_subset(&known), "{line}");
    }
}

/// A `kubectl` that writes down what it is asked for.
const KUBECTL: &str = r#"#!/bin/sh
echo "$*" >>"$ASKED"
case "$*" in
"get pod --namespace shop web-0 "*) echo node-17 ;;
"get pod --namespace shop waits "*) ;;
"get pods --all-namespaces "*spec.nodeName=node-17,*) echo "ops memtrace-x7k2p" ;;
"exec "*) exit 7 ;;
"get pod"*) exit 1 ;;
esac
"#;

fn plugin(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let asked = folder.join("asked");
    fs::write(&asked, "").unwrap();
    let output = Command::new(workspace::root().join("deploy/kubectl/kubectl-memtrace"))
        .args(arguments)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("ASKED", &asked)
        .output()
        .unwrap();
    let last = fs::read_to_string(&asked).unwrap();
    (
        output.status.code().unwrap(),
        last.lines().last().unwrap_or_default().to_owned(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn the_plugin_finds_the_agent_of_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let kubectl = folder.path().join("kubectl");
    fs::write(&kubectl, KUBECTL).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    let exec = "exec --stdin --namespace ops memtrace-x7k2p --container memtrace -- /memtrace ";
    for (arguments, wanted) in [
        (
            &["explain", "shop/web-0/app", "--for", "60s"][..],
            "explain shop/web-0/app --for 60s",
        ),
        (
            &["--node", "node-17", "oom", "list", "-o", "json"],
            "oom list -o json",
        ),
        (&["--node=node-17", "oom", "show", "3"], "oom show 3"),
    ] {
        let (code, asked, said) = plugin(folder.path(), arguments);
        // Its exit code is memtrace's own.
        assert_eq!((code, asked), (7, format!("{exec}{wanted}")), "{said}");
    }
    for (arguments, wanted_code, words) in [
        (&["oom", "list"][..], 2, "say which node"),
        (&["--node"], 2, "takes the name"),
        (&["--nod", "x", "doctor"], 2, "not known here"),
        (&[], 2, "kubectl memtrace explain"),
        (
            &["explain", "shop/none"],
            1,
            "cannot find the node of shop/none",
        ),
        (&["explain", "shop/waits"], 1, "on no node yet"),
        (
            &["--node", "node-3", "doctor"],
            1,
            "no agent runs on node node-3",
        ),
    ] {
        let (code, _, said) = plugin(folder.path(), arguments);
        assert_eq!(code, wanted_code, "{said}");
        assert!(said.contains(words), "{said}");
    }
}
