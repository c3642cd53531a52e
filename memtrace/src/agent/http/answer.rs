//! A request and its answer.

use std::{sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use super::{Door, Sources, Token};
use crate::{
    agent::Snapshot,
    model::past::{Instant, Question},
    source::live::monotonic_ns,
    store::{HistoryError, Report},
    view::{self, metrics},
};

/// The API's description; docs/openapi.json.
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// Reports a list has by default, and at most.
const LISTED: usize = 100;
const MAX_LISTED: usize = 1_000;

type Answer = Response<Full<Bytes>>;

/// Answers one request; its body, if it has one, is not read.
pub(super) async fn answer(request: Request<Incoming>, door: Door, sources: &Sources) -> Answer {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let admitted = |token: &Arc<Token>| token.admits(request.headers());
    let door = match door {
        Door::Remote if sources.token.as_ref().is_some_and(admitted) => Door::Api,
        door => door,
    };
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let snapshot = sources.snapshot.borrow().clone();
    match (path, door) {
        ("/healthz", _) => health(snapshot.as_deref(), sources.stale_after),
        ("/readyz", _) => match snapshot {
            Some(_) => text(StatusCode::OK, "ready\n"),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "nothing was read yet\n"),
        },
        ("/metrics", Door::Metrics) => match snapshot {
            Some(snapshot) => metrics(&snapshot, wants_openmetrics(&request)),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "nothing was read yet\n"),
        },
        ("/api/v1/openapi.json", Door::Api) => body(StatusCode::OK, JSON, OPENAPI.to_owned()),
        ("/api/v1/status", Door::Api) => match snapshot {
            Some(snapshot) => value(StatusCode::OK, &view::agent::status(&snapshot)),
            None => error(StatusCode::SERVICE_UNAVAILABLE, "nothing was read yet"),
        },
        ("/api/v1/oom", Door::Api) => list(query, sources).await,
        ("/api/v1/series", Door::Api) => series(query, sources).await,
        (path, Door::Api) => match path.strip_prefix("/api/v1/oom/") {
            Some(id) => one(id, sources).await,
            None => error(StatusCode::NOT_FOUND, "see /api/v1/openapi.json"),
        },
        (_, Door::Remote) => unauthorized(),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /metrics, /healthz and /readyz\n",
        ),
    }
}

fn health(snapshot: Option<&Snapshot>, stale_after: Duration) -> Answer {
    let age = snapshot
        .map(|snapshot| Duration::from_nanos(monotonic_ns().saturating_sub(snapshot.time_ns)));
    match age {
        Some(age) if age > stale_after => {
            let words = format!("the last tick was {:.0} s ago\n", age.as_secs_f64());
            body(StatusCode::SERVICE_UNAVAILABLE, TEXT, words)
        }
        _ => text(StatusCode::OK, "ok\n"),
    }
}

/// Prometheus asks for it; what does not gets the older text format.
fn wants_openmetrics(request: &Request<Incoming>) -> bool {
    let mut accepted = request.headers().get_all(ACCEPT).iter();
    accepted.any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.contains("application/openmetrics-text")
    })
}

fn metrics(snapshot: &Arc<Snapshot>, openmetrics: bool) -> Answer {
    match metrics::render(snapshot) {
        Ok(text) if openmetrics => body(StatusCode::OK, metrics::CONTENT_TYPE, text),
        Ok(text) => body(
            StatusCode::OK,
            metrics::classic::CONTENT_TYPE,
            metrics::classic::of(&text),
        ),
        Err(failure) => {
            log::error!("writing the metrics: {failure}");
            text(StatusCode::INTERNAL_SERVER_ERROR, "writing the metrics\n")
        }
    }
}

async fn list(query: &str, sources: &Sources) -> Answer {
    let mut limit = LISTED;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        limit = match pair.strip_prefix("limit=").map(str::parse) {
            Some(Ok(number @ 1..=MAX_LISTED)) => number,
            _ => return error(StatusCode::BAD_REQUEST, "only limit=1..1000 is known"),
        };
    }
    match sources.archive.newest(limit).await {
        Some(Ok(reports)) => {
            let reports: Vec<Value> = reports.into_iter().map(|report| report.json).collect();
            value(
                StatusCode::OK,
                &json!({"schema_version": 1, "reports": reports}),
            )
        }
        Some(Err(failure)) => unreadable(&failure),
        None => busy(),
    }
}

async fn one(id: &str, sources: &Sources) -> Answer {
    let Ok(number) = id.parse() else {
        return error(StatusCode::BAD_REQUEST, "a report's id is a number");
    };
    match sources.archive.one(number).await {
        Some(Ok(Some(Report { json, text, .. }))) => value(
            StatusCode::OK,
            &json!({"schema_version": 1, "report": json, "text": text}),
        ),
        Some(Ok(None)) => error(StatusCode::NOT_FOUND, "there is no such report"),
        Some(Err(failure)) => unreadable(&failure),
        None => busy(),
    }
}

/// `target`, `since` and `until`, the last two RFC 3339.
async fn series(query: &str, sources: &Sources) -> Answer {
    let Some(question) = question(query) else {
        return error(
            StatusCode::BAD_REQUEST,
            "give target, since and until, as in target=shop/web-0/app&since=2026-11-21T02:00:00Z&\
             until=2026-11-21T02:15:00Z",
        );
    };
    match sources.archive.past(question).await {
        Some(Ok(Ok(past))) => match serde_json::to_value(past) {
            Ok(past) => value(StatusCode::OK, &past),
            Err(failure) => {
                log::error!("writing an answer: {failure}");
                error(StatusCode::INTERNAL_SERVER_ERROR, "writing the answer")
            }
        },
        Some(Ok(Err(not_kept))) => error(StatusCode::NOT_FOUND, &not_kept.to_string()),
        Some(Err(failure)) => unreadable(&failure),
        None => busy(),
    }
}

/// `None` unless each of the three is there once, and nothing else.
fn question(query: &str) -> Option<Question> {
    let [mut target, mut since, mut until] = [None, None, None];
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match key.as_ref() {
            "target" => &mut target,
            "since" => &mut since,
            "until" => &mut until,
            _ => return None,
        };
        if place.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    let (since, until) = (Instant::parse(&since?)?, Instant::parse(&until?)?);
    (since < until).then_some(Question {
        target: target?,
        since,
        until,
    })
}

fn unauthorized() -> Answer {
    let mut refused = error(
        StatusCode::UNAUTHORIZED,
        "give the token: Authorization: Bearer ...",
    );
    refused
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

fn unreadable(failure: &HistoryError) -> Answer {
    log::error!("{failure}");
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the history cannot be read",
    )
}

fn busy() -> Answer {
    error(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy keeping reports; ask again",
    )
}

fn error(status: StatusCode, words: &str) -> Answer {
    value(status, &json!({"schema_version": 1, "error": words}))
}

fn value(status: StatusCode, value: &Value) -> Answer {
    body(status, JSON, format!("{value}\n"))
}

fn text(status: StatusCode, words: &str) -> Answer {
    body(status, TEXT, words.to_owned())
}

fn body(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_whole_and_of_known_words() {
        let question = question(
            "target=shop%2Fweb-0%2fapp&since=2026-11-21T02:00:00Z&until=2026-11-21T02%3A15%3A00.5Z",
        );
        let question = question.unwrap();
        assert_eq!(question.target, "shop/web-0/app");
        assert_eq!(question.until.0 - question.since.0, 900_500);
        for refused in [
            "",
            "target=a",
            "target=a&since=2026-11-21T02:00:00Z",
            "target=a&since=2026-11-21T02:00:00Z&until=2026-11-21T02:00:00Z",
            "target=a&since=2026-11-21T02:00:00Z&until=02:15",
            "target=a&target=b&since=2026-11-21T02:00:00Z&until=2026-11-21T02:15:00Z",
            "target=a&since=2026-11-21T02:00:00Z&until=2026-11-21T02:15:00Z&limit=1",
        ] {
            assert_eq!(super::question(refused), None, "{refused}");
        }
    }

    #[test]
    fn the_document_has_every_path_of_the_api() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            [
                "/api/v1/oom",
                "/api/v1/oom/{id}",
                "/api/v1/openapi.json",
                "/api/v1/series",
                "/api/v1/status",
                "/healthz",
                "/readyz"
            ]
        );
        // Each schema that is named is there.
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
    }
}
