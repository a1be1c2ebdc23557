//! The file server: `daytona-daemon sftp`, version 3 of the protocol (draft-ietf-secsh-filexfer-02) on standard input and
//! output. It runs as the user, so the kernel alone decides what may be done; one request is answered after another.

use std::io::{BufReader, Read, Write as _};

use crate::error::SshError;

mod status;
mod attributes;
mod handle;
mod extension;
mod server;

/// The longest packet, both ways.
const PACKET_BYTES: usize = 256 * 1024;
/// The longest piece of a file in one packet.
const PIECE_BYTES: usize = PACKET_BYTES - 1024;
/// How much freed memory is kept: the packets of one request and its answer.
const KEPT_BYTES: i32 = 2 * 1024 * 1024;

/// Serves until the client has said everything.
pub fn run() -> Result<(), SshError> {
    linux::heap::keep_freed(KEPT_BYTES);
    let mut input = BufReader::with_capacity(PACKET_BYTES, std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
    let mut server = server::Server::default();
    let mut packet = Vec::new();
    while read_packet(&mut input, &mut packet)? {
        let answer = server.answer(&packet)?;
        let sent = output.write_all(&answer).and_then(|()| output.flush());
        sent.map_err(|source| SshError::Stream { action: "write", source })?;
    }
    Ok(())
}

/// Reads the next packet; returns false at the end.
fn read_packet(input: &mut impl Read, packet: &mut Vec<u8>) -> Result<bool, SshError> {
    let failed = |source| SshError::Stream { action: "read", source };
    let mut head = [0; 4];
    match input.read(&mut head).map_err(failed)? {
        0 => return Ok(false),
        count => input.read_exact(head.get_mut(count..).unwrap_or_default()).map_err(failed)?,
    }
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length == 0 || length > PACKET_BYTES {
        return Err(SshError::Malformed { what: "a file request's length" });
    }
    packet.clear();
    packet.resize(length, 0);
    input.read_exact(packet).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
