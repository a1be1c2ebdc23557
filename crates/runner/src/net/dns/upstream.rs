//! Asks the host's own name servers, each question from a port and with a number of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use types::Random;

use crate::net::dns::message::{self, Answer, Name, Question};

/// How long one name server may take, and all of them together.
const ONE: Duration = Duration::from_millis(1500);
const ALL: Duration = Duration::from_millis(4500);
/// How often all of them are asked.
const ROUNDS: usize = 2;
/// The longest datagram that is handed on.
const DATAGRAM_BYTES: usize = 8 * 1024;
/// The longest answer over TCP that is read.
const LONGEST_BYTES: u16 = 16 * 1024;

/// The name servers of the host.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) random: Arc<dyn Random>,
}

impl Upstream {
    /// Asks for a name's addresses; `None` when nobody answered in time.
    pub(super) async fn ask(&self, name: &Name) -> Option<Answer> {
        let rounds = async {
            for server in self.servers.iter().cycle().take(self.servers.len() * ROUNDS) {
                let answer = timeout(ONE, self.ask_one(*server, name)).await.ok().flatten();
                // A server that has trouble is no reason to believe that the next one has.
                let usable =
                    |answer: &Answer| matches!(answer.outcome, message::NO_ERROR | message::NO_SUCH_NAME);
                if let Some(answer) = answer.filter(usable) {
                    return Some(answer);
                }
            }
            None
        };
        timeout(ALL, rounds).await.ok().flatten()
    }

    /// Hands a question on as it was asked, and returns what comes back, under the number that the asker gave it;
    /// `None` when nobody answered in time.
    pub(super) async fn relay(&self, question: &Question, bytes: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let mut worst = None;
        let rounds = async {
            for server in self.servers.iter().cycle().take(self.servers.len() * ROUNDS) {
                let relayed = timeout(ONE, self.relay_to(*server, question, bytes, over_tcp)).await;
                match relayed.ok().flatten() {
                    Some((message::SERVER_FAILURE | message::REFUSED, answer)) => worst = Some(answer),
                    Some((_, answer)) => return Some(answer),
                    None => {}
                }
            }
            None
        };
        let best = timeout(ALL, rounds).await.ok().flatten();
        best.or(worst).map(|mut answer| {
            message::renumber(&mut answer, question.id);
            answer
        })
    }

    async fn relay_to(
        &self,
        server: SocketAddr,
        question: &Question,
        bytes: &[u8],
        over_tcp: bool,
    ) -> Option<(u8, Vec<u8>)> {
        let id = self.draw_id();
        let mut bytes = bytes.to_vec();
        message::renumber(&mut bytes, id);
        if over_tcp {
            let answer = converse(server, &bytes).await?;
            return Some((message::read_outcome(&answer, id, question)?, answer));
        }
        let socket = connect(server).await?;
        socket.send(&bytes).await.ok()?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let received = socket.recv(&mut buffer).await.ok()?;
            let answer = buffer.get(..received).filter(|_| received < DATAGRAM_BYTES)?;
            if let Some(outcome) = message::read_outcome(answer, id, question) {
                return Some((outcome, answer.to_vec()));
            }
        }
    }

    fn draw_id(&self) -> u16 {
        let mut id = [0; 2];
        self.random.fill(&mut id);
        u16::from_be_bytes(id)
    }

    async fn ask_one(&self, server: SocketAddr, name: &Name) -> Option<Answer> {
        let id = self.draw_id();
        let question = message::write_question(id, name);
        let socket = connect(server).await?;
        socket.send(&question).await.ok()?;
        let mut buffer = vec![0; usize::from(message::DATAGRAM_BYTES)];
        loop {
            let received = socket.recv(&mut buffer).await.ok()?;
            let answer = message::read_answer(buffer.get(..received)?, id, name);
            match answer {
                Some(answer) if answer.truncated => return ask_again(server, &question, id, name).await,
                Some(answer) => return Some(answer),
                // Somebody guesses, or the datagram is broken: the right one may still come.
                None => {}
            }
        }
    }
}

/// Opens a socket for one question: the kernel draws its port, and drops what comes from elsewhere.
async fn connect(server: SocketAddr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect(server).await.ok()?;
    Some(socket)
}

/// Asks over TCP for what did not fit into a datagram.
async fn ask_again(server: SocketAddr, question: &[u8], id: u16, name: &Name) -> Option<Answer> {
    let answer = converse(server, question).await?;
    message::read_answer(&answer, id, name).filter(|answer| !answer.truncated)
}

/// Asks over TCP.
async fn converse(server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let length = u16::try_from(question.len()).ok()?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await.ok()?;
    let length = stream.read_u16().await.ok().filter(|length| *length <= LONGEST_BYTES)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.ok()?;
    Some(answer)
}
