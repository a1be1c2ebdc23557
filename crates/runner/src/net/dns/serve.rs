//! Serves one place: datagrams and connections to the host's end of its link, bounded in number, size and time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::net::dns::lookup::Desk;

/// Questions and connections of one sandbox at a time.
const MOST_QUESTIONS: usize = 32;
const MOST_CONNECTIONS: usize = 8;
/// Questions of one sandbox per second, and at once after a pause.
const PER_SECOND: f64 = 50.0;
const BURST: f64 = 200.0;
/// A question over TCP, how many there may be in one connection, and how long each may take to come and go.
const QUESTION_BYTES: u16 = 1024;
const QUESTIONS_PER_CONNECTION: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a failing socket is left alone.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer over TCP may be.
const ANSWER_BYTES: usize = 16 * 1024;

/// Answers whoever sits at the other end of the link until it is aborted.
pub(super) async fn serve(
    desk: Arc<Desk>,
    index: u32,
    guest: Ipv4Addr,
    datagrams: UdpSocket,
    connections: TcpListener,
) {
    let datagrams = Arc::new(datagrams);
    let (mut questions, mut streams) = (JoinSet::new(), JoinSet::new());
    let mut allowance = Allowance { left: BURST, at: Instant::now() };
    let mut buffer = vec![0; usize::from(QUESTION_BYTES)];
    loop {
        tokio::select! {
            received = datagrams.recv_from(&mut buffer) => {
                let Ok((length, from)) = received else {
                    // Whatever it is, others need the time more than this loop.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                if from.ip() != IpAddr::V4(guest) {
                    continue;
                }
                if questions.len() >= MOST_QUESTIONS || !allowance.take() {
                    desk.overrun(index);
                    continue;
                }
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                let (desk, datagrams) = (desk.clone(), datagrams.clone());
                questions.spawn(async move {
                    if let Some(answer) = desk.answer(index, &bytes, None).await {
                        let _ = datagrams.send_to(&answer, from).await;
                    }
                });
            }
            accepted = connections.accept() => {
                let Ok((stream, from)) = accepted else {
                    // Out of descriptors, most likely.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                if from.ip() != IpAddr::V4(guest) {
                    continue;
                }
                if streams.len() >= MOST_CONNECTIONS || !allowance.take() {
                    desk.overrun(index);
                    continue;
                }
                streams.spawn(converse(desk.clone(), index, stream));
            }
            Some(_) = questions.join_next() => {}
            Some(_) = streams.join_next() => {}
        }
    }
}

/// Answers the questions of one connection, one after the other.
async fn converse(desk: Arc<Desk>, index: u32, mut stream: TcpStream) {
    for _ in 0..QUESTIONS_PER_CONNECTION {
        let asked = timeout(PATIENCE, read(&mut stream)).await.ok().flatten();
        let Some(question) = asked else { return };
        let Some(answer) = desk.answer(index, &question, Some(ANSWER_BYTES)).await else { return };
        let length = u16::try_from(answer.len()).unwrap_or_default();
        let framed = [length.to_be_bytes().as_slice(), &answer].concat();
        if !matches!(timeout(PATIENCE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok().filter(|length| *length <= QUESTION_BYTES)?;
    let mut question = vec![0; usize::from(length)];
    stream.read_exact(&mut question).await.ok()?;
    Some(question)
}

/// A bucket of questions that fills with time.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn take(&mut self) -> bool {
        let now = Instant::now();
        self.left = (self.left + now.duration_since(self.at).as_secs_f64() * PER_SECOND).min(BURST);
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}
