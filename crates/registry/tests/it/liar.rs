//! A server that answers whatever a test wants.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) head: String,
}

impl Asked {
    /// Returns a header; names in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let line =
            self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }
}

/// What is sent back: bytes as they are. After `Cut` the connection is closed in the middle, after `Hang` nothing comes.
pub(crate) enum Told {
    Bytes(Vec<u8>),
    Cut(Vec<u8>),
    Hang(Vec<u8>),
    /// The bytes, and then zeros without end.
    Endless(Vec<u8>),
}

/// An answer with a body of its own length.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Told {
    let mut bytes = head(status, headers, body.len());
    bytes.extend_from_slice(body);
    Told::Bytes(bytes)
}

/// The head of an answer that says how long its body is.
pub(crate) fn head(status: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n")
        .into_bytes()
}

/// A server that calls for each request.
pub(crate) struct Liar {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Liar {
    pub(crate) async fn start(tell: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, tell) = (Arc::new(Mutex::new(Vec::new())), Arc::new(tell));
        let heard = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, heard) = (tell.clone(), heard.clone());
                tokio::spawn(async move {
                    // The client may go at any time.
                    let _ = serve(stream, &*tell, &heard).await;
                });
            }
        });
        Self { address, asked, task }
    }

    /// Lists what was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    tell: &(impl Fn(&Asked) -> Told + ?Sized),
    heard: &Mutex<Vec<Asked>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let asked = Asked { path, head: head.clone() };
    heard.lock().unwrap().push(asked.clone());
    match tell(&asked) {
        Told::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Told::Cut(bytes) => stream.write_all(&bytes).await,
        Told::Hang(bytes) => {
            stream.write_all(&bytes).await?;
            // Until the client goes.
            stream.read(&mut [0]).await.map(drop)
        }
        Told::Endless(bytes) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&[0; 65536]).await?;
            }
        }
    }
}
