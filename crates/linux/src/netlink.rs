//! A blocking netlink socket: sends messages in one write and collects every answer (netlink(7)).

pub mod attribute;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

use crate::errno::{CallError, Context};
use attribute::Attributes;

const HEADER_BYTES: usize = 16;
/// The kernel answers at once; this only keeps a lost answer from hanging a thread for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel writes dumps in pieces of at most 32 KiB.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Room for a transaction of tens of thousands of elements and for the answers to it.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// The kernel's sentence about an error, in the attributes behind it (`NLMSGERR_ATTR_MSG`).
const ERROR_SENTENCE: u16 = 1;

/// A kernel interface reached over netlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Links, addresses and routes (rtnetlink(7)).
    Route,
    /// Packet filtering and connection tracking.
    Netfilter,
}

/// One request, built whole before it is sent.
#[derive(Debug, Clone)]
pub struct Message {
    kind: u16,
    flags: u16,
    body: Attributes,
    call: &'static str,
    operand: String,
}

impl Message {
    /// Builds a request; `call` and `operand` name it in the error when the kernel refuses it.
    pub fn new(
        kind: u16,
        flags: i32,
        body: Attributes,
        call: &'static str,
        operand: impl Into<String>,
    ) -> Self {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or_default();
        Self { kind, flags, body, call, operand: operand.into() }
    }

    /// Returns the message with a request for an answer even when it succeeds.
    #[must_use]
    pub(crate) fn asking_for_answer(mut self) -> Self {
        self.flags |= u16::try_from(libc::NLM_F_ACK).unwrap_or_default();
        self
    }

    fn write(&self, sequence: u32, buffer: &mut Vec<u8>) {
        let length = u32::try_from(HEADER_BYTES + self.body.as_bytes().len()).unwrap_or(u32::MAX);
        buffer.extend_from_slice(&length.to_ne_bytes());
        buffer.extend_from_slice(&self.kind.to_ne_bytes());
        buffer.extend_from_slice(&self.flags.to_ne_bytes());
        buffer.extend_from_slice(&sequence.to_ne_bytes());
        buffer.extend_from_slice(&0_u32.to_ne_bytes());
        buffer.extend_from_slice(self.body.as_bytes());
    }

    /// Every dump must ask for an answer too: its own bits mean something else in other requests.
    fn wants_answer(&self) -> bool {
        i32::from(self.flags) & libc::NLM_F_ACK != 0
    }
}

/// An open netlink socket of the network namespace that its thread was in when it was opened.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Socket {
    /// Opens a socket.
    pub fn open(family: Family) -> Result<Self, CallError> {
        let protocol = match family {
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let operand = format!("{family:?}");
        let descriptor =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
                .context("socket", &operand)?;
        sockopt::set_socket_timeout(&descriptor, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))
            .context("setsockopt", &operand)?;
        // Beyond the system's limit only with CAP_NET_ADMIN in the first user namespace; inside a sandbox's the
        // default is plenty.
        let _ = sockopt::set_socket_send_buffer_size_force(&descriptor, QUEUE_BYTES);
        let _ = sockopt::set_socket_recv_buffer_size_force(&descriptor, QUEUE_BYTES);
        // Errors carry the kernel's sentence, and answers do not repeat the request.
        enable(&descriptor, libc::NETLINK_EXT_ACK).context("setsockopt NETLINK_EXT_ACK", &operand)?;
        enable(&descriptor, libc::NETLINK_CAP_ACK).context("setsockopt NETLINK_CAP_ACK", &operand)?;
        Ok(Self { descriptor, buffer: vec![0; RECEIVE_BYTES], sequence: 0 })
    }

    /// Sends the messages in order in one write and waits for the answer to the last one that asks for it; the
    /// first refusal is returned. Messages after a refused one are still carried out, unless they are a transaction.
    pub fn send(&mut self, messages: &[Message]) -> Result<(), CallError> {
        self.exchange(messages, |_, _| {})
    }

    /// Sends one message and gives the kind and the body of each message that comes back to `visit`.
    pub fn query(&mut self, message: Message, visit: impl FnMut(u16, &[u8])) -> Result<(), CallError> {
        self.exchange(&[message], visit)
    }

    /// Waits up to `timeout` for messages that nobody asked for, as a listener gets them, and gives the kind and the
    /// body of each to `visit`. False when none came, or some were lost because they came too fast.
    pub fn listen(
        &mut self,
        timeout: Duration,
        mut visit: impl FnMut(u16, &[u8]),
    ) -> Result<bool, CallError> {
        sockopt::set_socket_timeout(&self.descriptor, sockopt::Timeout::Recv, Some(timeout))
            .context("setsockopt", "receive timeout")?;
        let received = rustix::net::recv(&self.descriptor, self.buffer.as_mut_slice(), RecvFlags::empty());
        let received = match received {
            Ok((received, _)) => received,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => return Ok(false),
            Err(error) => return Err(error).context("recv", "netlink"),
        };
        for message in answers(self.buffer.get(..received).unwrap_or_default()) {
            visit(message.kind, message.body);
        }
        Ok(true)
    }

    fn exchange(&mut self, messages: &[Message], mut visit: impl FnMut(u16, &[u8])) -> Result<(), CallError> {
        let mut outgoing = Vec::new();
        let mut pending = HashMap::new();
        let mut first = None;
        let mut last = None;
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            message.write(self.sequence, &mut outgoing);
            pending.insert(self.sequence, message);
            first = first.or(Some((self.sequence, message)));
            last = message.wants_answer().then_some(self.sequence).or(last);
        }
        let Some((first, opening)) = first else { return Ok(()) };
        rustix::net::send(&self.descriptor, &outgoing, SendFlags::empty())
            .context(opening.call, &opening.operand)?;
        let Some(last) = last else { return Ok(()) };
        let mut refusal = None;
        loop {
            let (received, _) = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.descriptor, self.buffer.as_mut_slice(), RecvFlags::empty())
            })
            .context(opening.call, format!("{} (no answer)", opening.operand))?;
            for answer in answers(self.buffer.get(..received).unwrap_or_default()) {
                // Answers to an earlier exchange that ended at its first refusal are of no interest any more.
                let Some(message) = pending.get(&answer.sequence) else { continue };
                match answer.outcome() {
                    Outcome::Data => visit(answer.kind, answer.body),
                    Outcome::Done if answer.sequence == last => return refusal.map_or(Ok(()), Err),
                    Outcome::Done => {}
                    Outcome::Refused(error) => {
                        let error = refused(message, error, &answer);
                        // A refused opening is the refusal of a whole transaction: nothing else is to come.
                        if answer.sequence == last || (answer.sequence == first && !message.wants_answer()) {
                            return Err(refusal.unwrap_or(error));
                        }
                        refusal = refusal.or(Some(error));
                    }
                }
            }
        }
    }
}

/// Builds the error of a refused message, with the kernel's own sentence where it gave one.
fn refused(message: &Message, error: io::Error, answer: &Answer<'_>) -> CallError {
    let operand = match answer.sentence() {
        Some(sentence) => format!("{} ({sentence})", message.operand),
        None => message.operand.clone(),
    };
    CallError { call: message.call, operand, source: error }
}

fn enable(descriptor: impl AsFd, option: i32) -> io::Result<()> {
    const OPTION_BYTES: libc::socklen_t = 4;
    let value: i32 = 1;
    // No safe wrapper knows the options of netlink.
    // SAFETY: the pointer is to a live `i32` and the length is its four bytes; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            descriptor.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const value).cast(),
            OPTION_BYTES,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A message from the kernel.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

enum Outcome {
    Data,
    Done,
    Refused(io::Error),
}

impl Answer<'_> {
    fn outcome(&self) -> Outcome {
        let code = self.body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        match i32::from(self.kind) {
            libc::NLMSG_ERROR | libc::NLMSG_DONE if code < 0 => {
                Outcome::Refused(io::Error::from_raw_os_error(-code))
            }
            libc::NLMSG_ERROR | libc::NLMSG_DONE => Outcome::Done,
            _ => Outcome::Data,
        }
    }

    fn sentence(&self) -> Option<String> {
        if i32::from(self.flags) & libc::NLM_F_ACK_TLVS == 0 {
            return None;
        }
        // The error code, then the header of the refused message, then attributes.
        attribute::read(self.body, 4 + HEADER_BYTES).find_text(ERROR_SENTENCE)
    }
}

/// Cuts what one read returned into messages.
struct Answers<'a> {
    rest: &'a [u8],
}

const fn answers(rest: &[u8]) -> Answers<'_> {
    Answers { rest }
}

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Answer<'a>> {
        let length = usize::try_from(u32::from_ne_bytes(*self.rest.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*self.rest.get(4..)?.first_chunk()?);
        let flags = u16::from_ne_bytes(*self.rest.get(6..)?.first_chunk()?);
        let sequence = u32::from_ne_bytes(*self.rest.get(8..)?.first_chunk()?);
        let body = self.rest.get(HEADER_BYTES..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Answer { kind, flags, sequence, body })
    }
}
