//! The page that Prometheus reads, and the one that tells an orchestrator when a start is over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;

use super::metrics::Metrics;

/// What OpenMetrics text is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers at `listen` from now on until the process ends, on a thread of its own. Returns the address.
///
/// # Errors
/// An address that cannot be had.
pub fn serve(listen: SocketAddr, metrics: Arc<Metrics>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, routes(metrics)).await
        });
        if let Err(error) = served {
            tracing::warn!(%address, error = crate::chain(&error), "metrics are not served any more");
        }
    })?;
    Ok(address)
}

fn routes(metrics: Arc<Metrics>) -> Router {
    let readiness = metrics.clone();
    let ready = move || async move {
        if readiness.is_ready() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "following the log of earlier runs\n")
        }
    };
    let figures = move || async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.text()) };
    Router::new().route("/metrics", get(figures)).route("/ready", get(ready))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use datasets::Timestamp;
    use datasets::rows::{Binding, Counters, EpochOutputs};

    use super::*;
    use crate::run::stages::Closed;

    fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: questline\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    #[test]
    fn what_is_committed_is_told_and_what_an_earlier_run_committed_is_not() {
        let metrics = Metrics::new("acme", 7);
        let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), metrics.clone()).expect("a free port");
        let epoch = |epoch, read| {
            let bindings = vec![Binding { topic: "events".into(), partition: 2, upper: 40 + i64::from(read) }];
            let counters = Counters { read: u64::from(read), completed: 1, ..Counters::default() };
            let now = Timestamp::from_millis(1_000);
            Closed::now(Arc::new(EpochOutputs { epoch, now, bindings, counters, ..EpochOutputs::default() }))
        };
        let millis = Timestamp::from_millis;
        metrics.add(&[epoch(5, 100_u8), epoch(6, 100)], millis(0), millis(1));
        metrics.add(&[epoch(6, 100), epoch(7, 3), epoch(8, 4)], millis(2_000), millis(3_500));
        let told = ask(address, "/metrics");
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
        for line in [
            "questline_events_read_total{pipeline=\"acme\"} 7",
            "questline_completions_total{pipeline=\"acme\",outcome=\"completed\"} 2",
            "questline_epochs_total{pipeline=\"acme\"} 2",
            "questline_transactions_total{pipeline=\"acme\"} 1",
            "questline_offset{pipeline=\"acme\",topic=\"events\",partition=\"2\"} 44",
            "questline_behind_seconds{pipeline=\"acme\"} 2.5",
            "questline_last_commit_seconds{pipeline=\"acme\"} 3.5",
            "# EOF",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
        }
        assert!(ask(address, "/ready").starts_with("HTTP/1.1 503 "));
        metrics.look(millis(4_000), true, None, None);
        assert!(ask(address, "/ready").starts_with("HTTP/1.1 200 "));
        assert!(ask(address, "/nothing").starts_with("HTTP/1.1 404 "));
        let taken = serve(address, metrics).expect_err("somebody listens there");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
