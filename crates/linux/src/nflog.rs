//! Packets that a rule reports: the listener's end of `log group` (nft(8), "LOG STATEMENT").

use std::time::Duration;

use crate::errno::CallError;
use crate::netlink::attribute::{self, Attributes};
use crate::netlink::{Family, Message, Socket};

const HEADER_BYTES: usize = 4;
/// Enough of a packet for its addresses and ports, whatever options it has.
const COPIED_BYTES: u32 = 128;
/// The kernel gathers reports for so long, or until there are so many.
const GATHER_HUNDREDTHS: u32 = 10;
const GATHER_PACKETS: u32 = 64;

/// A packet that a rule reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// The number of the link that it came in through.
    pub link_index: Option<u32>,
    /// The heading that the rule gave it.
    pub heading: &'a [u8],
    /// Its first bytes, from the network layer's header on.
    pub packet: &'a [u8],
}

/// Listens to one group; nobody else can at the same time.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

impl Listener {
    /// Starts to listen; `EPERM` or `EBUSY` says that somebody else listens to the group.
    pub fn open(group: u16) -> Result<Self, CallError> {
        let mut socket = Socket::open(Family::Netfilter)?;
        let mode = [COPIED_BYTES.to_be_bytes().as_slice(), &[u8_of(libc::NFULNL_COPY_PACKET), 0]].concat();
        let bind = Attributes::new().bytes(number(libc::NFULA_CFG_CMD), &[u8_of(libc::NFULNL_CFG_CMD_BIND)]);
        let gather = Attributes::new()
            .bytes(number(libc::NFULA_CFG_MODE), &mode)
            .network_number(number(libc::NFULA_CFG_TIMEOUT), GATHER_HUNDREDTHS)
            .network_number(number(libc::NFULA_CFG_QTHRESH), GATHER_PACKETS);
        for attributes in [bind, gather] {
            let [high, low] = group.to_be_bytes();
            let body = Attributes::after(&[0, 0, high, low]).followed_by(&attributes);
            let kind = kind(libc::NFULNL_MSG_CONFIG);
            socket.send(&[Message::new(
                kind,
                libc::NLM_F_ACK,
                body,
                "listen to log group",
                group.to_string(),
            )])?;
        }
        Ok(Self { socket })
    }

    /// Waits up to `timeout` for reports and gives each to `visit`.
    pub fn listen(&mut self, timeout: Duration, mut visit: impl FnMut(Report<'_>)) -> Result<(), CallError> {
        let heard = self.socket.listen(timeout, |message, body| {
            if message == kind(libc::NFULNL_MSG_PACKET) {
                let attributes = attribute::read(body, HEADER_BYTES);
                let find = |wanted| attributes.find(number(wanted)).unwrap_or_default();
                let heading = find(libc::NFULA_PREFIX).split(|byte| *byte == 0).next().unwrap_or_default();
                visit(Report {
                    link_index: attributes.find_network_number(number(libc::NFULA_IFINDEX_INDEV)),
                    heading,
                    packet: find(libc::NFULA_PAYLOAD),
                });
            }
        });
        heard.map(|_| ())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both numbers are below 256")]
const fn kind(message: i32) -> u16 {
    ((libc::NFNL_SUBSYS_ULOG as u16) << 8) | message as u16
}

fn number(attribute: i32) -> u16 {
    u16::try_from(attribute).unwrap_or_default()
}

fn u8_of(value: i32) -> u8 {
    u8::try_from(value).unwrap_or_default()
}
