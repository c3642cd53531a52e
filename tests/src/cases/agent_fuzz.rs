//! Bytes that are nearly requests, at every door of the agent.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::ensure;
use rustix::process::Signal;

use super::{
    agent_remote::Secrets,
    agent_scene::{Agent, has},
    room::Room,
};
use crate::{host::Host, suite::Outcome};

/// Requests at each door.
const REQUESTS: u64 = 600;
/// What the agent may have grown by in the end: buffers of connections, what the allocator keeps.
const MAX_GROWTH_BYTES: u64 = 24 << 20;

/// What is changed here and there.
const SEEDS: [&[u8]; 6] = [
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n",
    b"GET /api/v1/oom?limit=10 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n",
    b"GET /api/v1/oom/18446744073709551615 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n",
    b"POST /api/v1/status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
    // A TLS 1.3 ClientHello's first bytes.
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x20\x13\x01\x00\x2b",
];

/// xorshift64 (Marsaglia 2003): the same bytes in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// A seed with some bytes changed, cut, doubled or put in.
    fn request(&mut self) -> Vec<u8> {
        let mut bytes = SEEDS[self.below(SEEDS.len())].to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes.truncate(at + 1),
                2 => bytes.extend_from_within(..at),
                3 => {
                    let many = vec![self.below(256) as u8; self.below(40_000)];
                    bytes.splice(at..at, many);
                }
                _ => bytes[at] ^= 1 << self.below(8),
            }
        }
        bytes
    }
}

/// None of it ends the agent, makes it grow, or keeps others out.
pub(super) fn nearly_requests(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let remote = match has("openssl") {
        true => Some(Secrets::new(&room)?.arguments()?),
        false => None,
    };
    let arguments = remote.as_ref().map_or(&[][..], |(_, arguments)| arguments);
    let mut agent = Agent::start_with(&room, arguments)?;
    // Once around, so that what is made at first use is there.
    agent.get("/metrics")?;
    let before_bytes = agent.rss_bytes()?;
    let socket = room.folder().join("agent.sock");
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut sent = 0;
    for _ in 0..host.scaled(REQUESTS * 2).div_ceil(2) {
        let request = random.request();
        let addresses = [
            Some(agent.address().to_string()),
            remote.as_ref().map(|one| one.0.clone()),
        ];
        for address in addresses.into_iter().flatten() {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                exchange(&stream, &request, |stream| stream.shutdown(Shutdown::Write));
                sent += 1;
            }
        }
        if let Ok(stream) = UnixStream::connect(&socket) {
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            exchange(&stream, &request, |stream| stream.shutdown(Shutdown::Write));
            sent += 1;
        }
    }
    agent.wait_for("health", |agent| {
        Ok(agent
            .get("/healthz")
            .is_ok_and(|answer| answer.contains("200 OK")))
    })?;
    let grown_bytes = agent.rss_bytes()?.saturating_sub(before_bytes);
    ensure!(
        grown_bytes < MAX_GROWTH_BYTES,
        "grew by {grown_bytes} bytes"
    );
    let (ended, _) = agent.end(Signal::TERM)?;
    ensure!(
        ended.status.success() && !ended.stderr.contains("panicked"),
        "{ended:?}"
    );
    let doors = if remote.is_some() { 3 } else { 2 };
    Ok(Outcome::Passed(format!(
        "{sent} requests at {doors} doors, grew by {} KiB",
        grown_bytes >> 10
    )))
}

/// Sends, says that this was all, and reads what comes back; both may fail.
fn exchange<S>(mut stream: &S, request: &[u8], close: impl Fn(&S) -> std::io::Result<()>)
where
    for<'a> &'a S: std::io::Read + std::io::Write,
{
    _ = stream.write_all(request);
    _ = close(stream);
    _ = stream.read_to_end(&mut Vec::new());
}
