//! The page that Prometheus reads, and the one that tells an orchestrator when a start is over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// What OpenMetrics text is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a page tells.
pub(crate) trait Page: Send + Sync + 'static {
    /// The start is over.
    fn is_ready(&self) -> bool;

    /// All figures.
    fn registry(&self) -> &Registry;

    /// The same as OpenMetrics text.
    fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, self.registry()).expect("a string takes everything");
        text
    }
}

/// Answers at `listen` from now on until the process ends, on a thread of its own. Returns the address.
///
/// # Errors
/// An address that cannot be had.
pub(crate) fn serve(listen: SocketAddr, page: Arc<dyn Page>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, routes(page)).await
        });
        if let Err(error) = served {
            tracing::warn!(%address, error = crate::chain(&error), "metrics are not served any more");
        }
    })?;
    Ok(address)
}

fn routes(page: Arc<dyn Page>) -> Router {
    let readiness = page.clone();
    let ready = move || async move {
        if readiness.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not yet\n") }
    };
    let figures = move || async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], page.text()) };
    Router::new().route("/metrics", get(figures)).route("/ready", get(ready))
}

/// Microseconds as Prometheus has time.
pub(crate) fn seconds(micros: i64) -> f64 {
    // Below 2^53, so exact to the microsecond until the year 2255.
    #[expect(clippy::as_conversions, reason = "there is no other conversion from i64 to f64")]
    let micros = micros as f64;
    micros / 1e6
}
