//! Serves a door: few connections at once, each with little time for a head, so that nobody who reaches the address takes the process's
//! files or memory.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

/// Most connections of one door. The doors do not share them: who fills the address does not keep the socket from answering.
pub const CONNECTIONS: usize = 64;
/// The time for each head of a connection, from when one is waited for.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Room for a head, in bytes.
const HEAD_SIZE: usize = 16 << 10;

/// How long what runs at the end may take. The events of the live page have no end of their own.
const GRACE: Duration = Duration::from_millis(500);

/// Answers until `stop`, then finishes what runs.
pub async fn serve<L: Listener>(mut listener: L, router: Router, stop: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_SIZE);
    let (places, running) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
    tokio::pin!(stop);
    loop {
        let stream = tokio::select! {
            (stream, _) = listener.accept() => stream,
            () = &mut stop => break,
        };
        // no place: closed without a word, as on the listeners of callers
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = running.watch(connection);
        tokio::spawn(async move {
            let _ = connection.await; // what breaks a connection is nobody's fault here
            drop(place);
        });
    }
    let _ = tokio::time::timeout(GRACE, running.shutdown()).await;
}
