//! The API over TCP: TLS and a token, asked by curl.

use std::{fs, net::TcpListener, path::PathBuf};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::{
    agent_scene::{Agent, has, send},
    room::{Room, text},
};
use crate::{host::Host, process, suite::Outcome};

const TOKEN: &str = "a token that nobody guesses";

/// Certificate, key and token of an agent.
pub(super) struct Secrets {
    pub(super) certificate: PathBuf,
    key: PathBuf,
    token: PathBuf,
}

impl Secrets {
    /// Made by openssl for 127.0.0.1.
    pub(super) fn new(room: &Room<'_>) -> anyhow::Result<Self> {
        let place = |name: &str| room.folder().join(name);
        let own = Self {
            certificate: place("certificate.pem"),
            key: place("key.pem"),
            token: place("token"),
        };
        let mut command = process::command("openssl".as_ref(), ["req", "-x509", "-nodes"]);
        command
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-days", "2", "-subj", "/CN=memtrace"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-keyout", text(&own.key)?, "-out", text(&own.certificate)?]);
        let made = process::run(command)?;
        ensure!(made.status.success(), "{made:?}");
        fs::write(&own.token, format!("{TOKEN}\n"))?;
        Ok(own)
    }

    /// Where to listen, and the agent's arguments for that.
    pub(super) fn arguments(&self) -> anyhow::Result<(String, Vec<String>)> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let arguments = [
            ["--api-listen", &address],
            ["--api-certificate", text(&self.certificate)?],
            ["--api-key", text(&self.key)?],
            ["--api-token", text(&self.token)?],
        ];
        let arguments = arguments.concat().into_iter().map(str::to_owned).collect();
        Ok((address, arguments))
    }
}

/// Without the token only health is served; with it the API; and nothing without TLS.
pub(super) fn tls_and_token(host: &Host) -> anyhow::Result<Outcome> {
    for program in ["openssl", "curl"] {
        if !has(program) {
            return Ok(Outcome::Skipped(format!("there is no {program} here")));
        }
    }
    let room = Room::new(host)?;
    let secrets = Secrets::new(&room)?;
    let (address, arguments) = secrets.arguments()?;
    let agent = Agent::start_with(&room, &arguments)?;
    let curl = |more: &[&str], path: &str| -> anyhow::Result<(Option<i32>, String)> {
        let mut command = process::command("curl".as_ref(), ["--silent", "--max-time", "30"]);
        command
            .args(["--noproxy", "*", "--cacert", text(&secrets.certificate)?])
            .args(["--write-out", "\n%{http_code}"])
            .args(more)
            .arg(format!("https://{address}{path}"));
        let ended = process::run(command)?;
        Ok((
            ended.status.code(),
            String::from_utf8_lossy(&ended.stdout).into_owned(),
        ))
    };
    let token = format!("Authorization: Bearer {TOKEN}");
    let with = ["--header", token.as_str()];
    let wrong = [
        "--header",
        "Authorization: Bearer a token that somebody guesses",
    ];
    for (what, more, path, wanted) in [
        ("health", &[][..], "/healthz", "200"),
        ("readiness", &[], "/readyz", "200"),
        ("the API without", &[], "/api/v1/status", "401"),
        (
            "its description without",
            &[],
            "/api/v1/openapi.json",
            "401",
        ),
        ("metrics without", &[], "/metrics", "401"),
        ("nothing without", &[], "/nothing", "401"),
        ("a wrong token", &wrong, "/api/v1/oom", "401"),
        ("the API", &with, "/api/v1/status", "200"),
        ("the list", &with, "/api/v1/oom?limit=5", "200"),
        ("nothing", &with, "/nothing", "404"),
    ] {
        let (_, answer) = curl(more, path)?;
        let (body, code) = answer.rsplit_once('\n').context("no code")?;
        ensure!(code == wanted, "{what}: {answer}");
        ensure!(code != "401" || body.contains("give the token"), "{body}");
    }
    let (code, answer) = curl(&["--tls-max", "1.2"], "/healthz")?;
    ensure!(code != Some(0), "TLS 1.2 was spoken: {answer}");
    let plain = send(&address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    let plain = plain.unwrap_or_default();
    ensure!(!plain.contains("200 OK"), "without TLS: {plain}");
    agent.end(Signal::TERM)?;
    Ok(Outcome::Passed("10 requests by curl".to_owned()))
}
