//! What a sandbox uses, as its own daemon measures it.
//!
//! The daemon is asked rather than the host's control groups because `get_metrics_latest` of the SDKs asks it too: one
//! sandbox has one set of numbers. It speaks for its sandbox alone, so nothing but what its owner sees is decided by them,
//! and nothing of the answer is believed beyond its bounds.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use daytona_wire::toolbox::system::SystemMetrics;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use types::metric::Metrics;

/// How long a daemon may take; it needs a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Far more than the answer has.
const ANSWER_BYTES: usize = 16 << 10;
/// Processors beyond this are nonsense.
const MOST_PROCESSORS: i64 = 1 << 16;

/// Why a daemon's numbers are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricError {
    /// Nobody listens.
    #[error("connect to the daemon")]
    Connect { source: io::Error },
    /// The exchange broke off.
    #[error("ask the daemon")]
    Ask { source: hyper::Error },
    /// It refused.
    #[error("ask the daemon: it answered {status}")]
    Refused { status: StatusCode },
    /// The answer broke off or is too long.
    #[error("read the daemon's answer")]
    Read { source: Box<dyn std::error::Error + Send + Sync> },
    /// The answer is something else.
    #[error("decode the daemon's answer")]
    Decode { source: serde_json::Error },
    /// It took too long.
    #[error("ask the daemon: it did not answer in {} seconds", PATIENCE.as_secs())]
    Late,
}

/// Asks the daemon that listens at `socket`.
pub(crate) async fn ask(socket: PathBuf) -> Result<Metrics, MetricError> {
    match timeout(PATIENCE, exchange(socket)).await {
        Ok(answer) => answer.map(|answer| read(&answer)),
        Err(_) => Err(MetricError::Late),
    }
}

async fn exchange(socket: PathBuf) -> Result<SystemMetrics, MetricError> {
    let stream = UnixStream::connect(socket).await.map_err(|source| MetricError::Connect { source })?;
    let failed = |source| MetricError::Ask { source };
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = Request::get("/system/metrics").header("host", "daemon").body(Empty::<Bytes>::new());
    // The request is one constant; were it no request, the daemon would say so.
    let request = request.unwrap_or_default();
    let answer = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(MetricError::Refused { status: response.status() });
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|source| MetricError::Read { source })?.to_bytes();
        serde_json::from_slice(&body).map_err(|source| MetricError::Decode { source })
    };
    // The connection lives in this very future: dropping it ends both. A connection that ends first ends the answer too,
    // once what was received of it is read.
    let driver = async {
        let _ = driver.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = driver => match never {},
    }
}

/// Keeps every number within what it can be.
fn read(answer: &SystemMetrics) -> Metrics {
    let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
    let processors = answer.cpu_count.clamp(0, MOST_PROCESSORS);
    Metrics {
        cpu_limit: f64::from(i32::try_from(processors).unwrap_or(0)),
        cpu_used_percent: answer.cpu_used_pct.clamp(0.0, 100.0),
        memory_limit_bytes: bytes(answer.mem_total),
        memory_used_bytes: bytes(answer.mem_used),
        memory_cache_bytes: bytes(answer.mem_cache),
        disk_total_bytes: bytes(answer.disk_total),
        disk_used_bytes: bytes(answer.disk_used),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    /// Answers one connection with `answer`, and keeps it open afterwards.
    async fn asked(answer: &'static [u8]) -> Result<Metrics, MetricError> {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("listen");
        let daemon = async {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.expect("read");
            assert!(request[..length].starts_with(b"GET /system/metrics HTTP/1.1\r\n"));
            stream.write_all(answer).await.expect("write");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = ask(path) => answer,
            () = daemon => unreachable!("it waits for ever"),
        }
    }

    #[tokio::test]
    async fn the_daemons_numbers_are_read() {
        let answer = asked(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 157\r\n\r\n\
            {\"cpuCount\":2,\"cpuUsedPct\":12.5,\"diskFree\":6,\"diskTotal\":10,\"diskUsed\":4,\"memCache\":3,\"memTotal\":9,\
            \"memUsed\":5,\"timestamp\":\"x\",\"timestampUnix\":1}            ",
        )
        .await
        .expect("numbers");
        assert_eq!(
            answer,
            Metrics {
                cpu_limit: 2.0,
                cpu_used_percent: 12.5,
                memory_limit_bytes: 9,
                memory_used_bytes: 5,
                memory_cache_bytes: 3,
                disk_total_bytes: 10,
                disk_used_bytes: 4
            }
        );
    }

    #[tokio::test]
    async fn numbers_that_cannot_be_are_not_believed() {
        let answer = SystemMetrics {
            cpu_count: i64::MAX,
            cpu_used_pct: 1e300,
            disk_free: 0,
            disk_total: i64::MIN,
            disk_used: -1,
            mem_cache: i64::MAX,
            mem_total: 1,
            mem_used: -5,
            timestamp: String::new(),
            timestamp_unix: 0,
        };
        let read = read(&answer);
        assert_eq!((read.cpu_limit, read.cpu_used_percent), (65_536.0, 100.0));
        assert_eq!((read.disk_total_bytes, read.disk_used_bytes, read.memory_used_bytes), (0, 0, 0));
    }

    #[tokio::test]
    async fn whatever_a_sandbox_answers_ends_the_question() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"[..],
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull",
            b"\0\0\0\0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            // Too little, and nothing more to come.
            b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n{",
        ] {
            let text = String::from_utf8_lossy(answer);
            assert!(asked(answer).await.is_err(), "{text}");
        }
        let endless: &'static [u8] = Box::leak(
            [&b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"[..], &vec![b' '; 100_000]]
                .concat()
                .into_boxed_slice(),
        );
        assert!(matches!(asked(endless).await, Err(MetricError::Read { .. })));
        assert!(matches!(ask("/nowhere/at/all".into()).await, Err(MetricError::Connect { .. })));
    }
}
