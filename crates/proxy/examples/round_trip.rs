//! Measures what the proxy adds: the same small requests straight to a daemon and through the proxy, one at a time on
//! one kept connection, and one long download each way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use proxy::{Directory, Grant, Proof, ProxyState, Refusal};
use service::Tasks;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use types::{SandboxId, SystemClock};

const ROUNDS: usize = 5_000;
const DOWNLOAD_MEBIBYTES: usize = 1024;

#[derive(Debug)]
struct One(PathBuf);

#[async_trait]
impl Directory for One {
    async fn authorize(&self, _proof: Proof<'_>, sandbox: &str) -> Result<Grant, Refusal> {
        let found = sandbox.parse().map_err(|_| Refusal::NotFound);
        found.map(|sandbox_id| Grant { sandbox_id, is_asleep: false })
    }

    async fn wake(&self, _sandbox_id: SandboxId) -> Result<(), Refusal> {
        Ok(())
    }

    fn socket(&self, _sandbox_id: SandboxId) -> PathBuf {
        self.0.clone()
    }

    fn touched(&self, _sandbox_id: SandboxId) {}
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let place = tempfile::tempdir()?;
    let socket = place.path().join("daemon.sock");
    let tasks = Tasks::new();
    let block = Bytes::from(vec![7_u8; 1 << 20]);
    let download = move || async move {
        let blocks = (0..DOWNLOAD_MEBIBYTES).map(move |_| Ok::<_, std::convert::Infallible>(block.clone()));
        Body::from_stream(futures_util::stream::iter(blocks))
    };
    let daemon = Router::new().route("/x", post(async || "done")).route("/download", get(download));
    let listener = UnixListener::bind(&socket)?;
    tasks.spawn_until_shutdown("daemon", async move {
        let _ = axum::serve(listener, daemon).await;
    });
    let state = ProxyState::new(Arc::new(One(socket.clone())), Arc::new(SystemClock), tasks.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tasks.spawn("listener", proxy::listen::listen(listener, proxy::router(state), tasks.clone()));

    let prefix = format!("/toolbox/{}", SandboxId::from_u128(1));
    for _ in 0..2 {
        let direct = UnixStream::connect(&socket).await?;
        measure("straight to the daemon", connection(direct, &tasks).await?, "").await?;
        let proxied = TcpStream::connect(address).await?;
        proxied.set_nodelay(true)?;
        measure("through the proxy", connection(proxied, &tasks).await?, &prefix).await?;
    }
    tasks.finish(Duration::from_secs(1)).await;
    Ok(())
}

async fn connection<S>(stream: S, tasks: &Tasks) -> Result<SendRequest<Full<Bytes>>, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, driver) = handshake(TokioIo::new(stream)).await?;
    tasks.spawn_until_shutdown("client", async move {
        let _ = driver.await;
    });
    Ok(sender)
}

fn request(method: &str, path: String, body: &'static [u8]) -> Result<Request<Full<Bytes>>, Failure> {
    let request = Request::builder().method(method).uri(path).header("host", "a");
    Ok(request.header("authorization", "Bearer key").body(Full::new(Bytes::from_static(body)))?)
}

#[expect(clippy::print_stdout, reason = "printing numbers is all that this program does")]
async fn measure(what: &str, mut sender: SendRequest<Full<Bytes>>, prefix: &str) -> Result<(), Failure> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let request = request("POST", format!("{prefix}/x"), b"{\"command\":\"true\"}")?;
        let begun = Instant::now();
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status()).into());
        }
        answer.into_body().collect().await?;
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |share: usize| times.get(ROUNDS * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    println!("{what}: p50 {:.0} µs, p95 {:.0} µs, p99 {:.0} µs", at(50), at(95), at(99));

    let begun = Instant::now();
    sender.ready().await?;
    let mut body = sender.send_request(request("GET", format!("{prefix}/download"), b"")?).await?.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    let mebibytes = length >> 20;
    let speed = Duration::from_secs(1).as_secs_f64() * f64::from(u32::try_from(mebibytes)?)
        / begun.elapsed().as_secs_f64();
    println!("{what}: downloaded {mebibytes} MiB at {speed:.0} MiB/s");
    Ok(())
}
