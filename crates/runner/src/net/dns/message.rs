//! The little of the DNS message format that the resolver speaks (RFC 1035, RFC 6891): one question, addresses back.
//!
//! Our own, because every byte here comes from a sandbox or from whoever answers for a name: what is not needed is
//! not parsed, names are compared label by label as bytes, and nothing here can end the process.

use std::net::Ipv4Addr;

/// The types and the class that are told apart.
pub(super) const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_OPT: u16 = 41;
pub(super) const CLASS_INTERNET: u16 = 1;

/// The outcomes that are given.
pub(super) const NO_ERROR: u8 = 0;
pub(super) const FORMAT_ERROR: u8 = 1;
pub(super) const SERVER_FAILURE: u8 = 2;
pub(super) const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
pub(super) const REFUSED: u8 = 5;

const HEADER_BYTES: usize = 12;
/// A name on the wire, and a text with dots between its labels.
const NAME_BYTES: usize = 255;
const TEXT_BYTES: usize = 253;
/// Bytes of an odd name that are shown.
const SHOWN_BYTES: usize = 63;
/// Sent and taken over UDP without being cut on the way.
pub(super) const DATAGRAM_BYTES: u16 = 1232;
const PLAIN_DATAGRAM_BYTES: u16 = 512;
/// Aliases that are followed, and addresses that are taken.
const MOST_ALIASES: usize = 16;
const MOST_ADDRESSES: usize = 32;

/// A name as it is on the wire, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(Vec<u8>);

/// What a sandbox asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) id: u16,
    recursion_desired: bool,
    /// The question's bytes, to be repeated as they were asked.
    asked: Vec<u8>,
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
    /// The longest datagram that the asker takes, when it says so.
    payload_bytes: Option<u16>,
}

/// A message that is no question; the answer to give, when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoQuestion(pub(super) Option<Vec<u8>>);

/// What a name server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) outcome: u8,
    /// Whether it did not fit and is to be asked for again over TCP.
    pub(super) truncated: bool,
    pub(super) addresses: Vec<Ipv4Addr>,
    /// How long all of it holds.
    pub(super) ttl_s: u32,
}

impl Name {
    /// Returns the name with dots, when it is one that a host can have: letters, digits, `-` and `_` only.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = String::new();
        let mut rest = self.0.as_slice();
        while let [length, more @ ..] = rest {
            let (label, next) = more.split_at_checked(usize::from(*length))?;
            if label.is_empty() {
                break;
            }
            if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return None;
            }
            if !text.is_empty() {
                text.push('.');
            }
            text.extend(label.iter().map(|byte| char::from(*byte)));
            rest = next;
        }
        Some(text).filter(|text| !text.is_empty() && text.len() <= TEXT_BYTES)
    }

    /// Returns the name for people, whatever its bytes; what is no host's name is cut when it is long.
    pub(super) fn shown(&self) -> String {
        let odd = || self.0.iter().take(SHOWN_BYTES).copied().collect::<Vec<u8>>().escape_ascii().to_string();
        self.text().unwrap_or_else(odd)
    }
}

/// Reads what a sandbox sent.
pub(super) fn read_question(bytes: &[u8]) -> Result<Question, NoQuestion> {
    let (Some(id), Some([flags, _])) = (number(bytes, 0), bytes.get(2..4)) else {
        return Err(NoQuestion(None));
    };
    if flags & 0x80 != 0 || bytes.len() < HEADER_BYTES {
        return Err(NoQuestion(None)); // an answer is answered by nobody
    }
    let refuse = |outcome| NoQuestion(Some(header(id, flags & 1 != 0, outcome, false, [0; 4])));
    if flags & 0x78 != 0 {
        return Err(refuse(NOT_IMPLEMENTED));
    }
    read_query(bytes, id, flags & 1 != 0).ok_or_else(|| refuse(FORMAT_ERROR))
}

fn read_query(bytes: &[u8], id: u16, recursion_desired: bool) -> Option<Question> {
    let counts = [4, 6, 8, 10].map(|at| number(bytes, at).unwrap_or(u16::MAX));
    let [1, 0, 0, 0 | 1] = counts else { return None };
    let (name, end) = read_plain_name(bytes, HEADER_BYTES)?;
    let (kind, class) = (number(bytes, end)?, number(bytes, end + 2)?);
    let asked = bytes.get(HEADER_BYTES..end + 4)?.to_vec();
    let mut end = end + 4;
    let mut payload_bytes = None;
    if counts == [1, 0, 0, 1] {
        // The only record that a question may carry says what the asker can take.
        if *bytes.get(end)? != 0 || number(bytes, end + 1)? != TYPE_OPT {
            return None;
        }
        payload_bytes = Some(number(bytes, end + 3)?);
        end += 11 + usize::from(number(bytes, end + 9)?);
    }
    (end == bytes.len()).then_some(Question {
        id,
        recursion_desired,
        asked,
        name,
        kind,
        class,
        payload_bytes,
    })
}

/// Reads a name without references to other places, and returns where it ends.
fn read_plain_name(bytes: &[u8], start: usize) -> Option<(Name, usize)> {
    let mut at = start;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length > 63 || at - start > NAME_BYTES {
            return None;
        }
        if length == 0 {
            return Some((Name(bytes.get(start..at)?.to_ascii_lowercase()), at));
        }
    }
}

/// Reads a name, following references; each must lead further back, so there is an end.
fn read_name(bytes: &[u8], start: usize) -> Option<(Name, usize)> {
    let mut name = Vec::new();
    let (mut at, mut bound, mut end) = (start, start, None);
    loop {
        let length = *bytes.get(at)?;
        match length >> 6 {
            0 => {
                let next = at + 1 + usize::from(length);
                name.extend_from_slice(bytes.get(at..next)?);
                if name.len() > NAME_BYTES {
                    return None;
                }
                if length == 0 {
                    return Some((Name(name.to_ascii_lowercase()), end.unwrap_or(next)));
                }
                at = next;
            }
            3 => {
                let target = usize::from(number(bytes, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if target >= bound || target < HEADER_BYTES {
                    return None;
                }
                (at, bound) = (target, target);
            }
            _ => return None,
        }
    }
}

/// Gives a message another number.
pub(super) fn renumber(bytes: &mut [u8], id: u16) {
    if let Some(first) = bytes.first_chunk_mut::<2>() {
        *first = id.to_be_bytes();
    }
}

/// Returns the outcome of what a name server sent back for a question that was handed on under the number `id`; `None`
/// when it is no answer to it.
pub(super) fn read_outcome(bytes: &[u8], id: u16, question: &Question) -> Option<u8> {
    let [flags, more_flags] = *bytes.get(2..)?.first_chunk()?;
    let asked = bytes.get(HEADER_BYTES..)?.get(..question.asked.len())?;
    let is_answer = number(bytes, 0)? == id && flags & 0xf8 == 0x80 && number(bytes, 4)? == 1;
    (is_answer && asked.eq_ignore_ascii_case(&question.asked)).then_some(more_flags & 0x0f)
}

/// Writes the question that a name server is asked.
pub(super) fn write_question(id: u16, name: &Name) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut bytes = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(&name.0);
    bytes.extend_from_slice(&TYPE_A.to_be_bytes());
    bytes.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
    bytes.extend_from_slice(&options(DATAGRAM_BYTES));
    bytes
}

/// Reads what a name server answered; `None` when it is no answer to this question.
pub(super) fn read_answer(bytes: &[u8], id: u16, name: &Name) -> Option<Answer> {
    let [flags, more_flags] = *bytes.get(2..)?.first_chunk()?;
    let is_answer = number(bytes, 0)? == id && flags & 0xf8 == 0x80 && number(bytes, 4)? == 1;
    let (asked, end) = read_plain_name(bytes, HEADER_BYTES)?;
    let same = asked == *name && number(bytes, end)? == TYPE_A && number(bytes, end + 2)? == CLASS_INTERNET;
    if !is_answer || !same {
        return None;
    }
    let truncated = flags & 2 != 0;
    let mut answer = Answer { outcome: more_flags & 0x0f, truncated, addresses: Vec::new(), ttl_s: u32::MAX };
    if answer.outcome == NO_ERROR && !truncated {
        let records = read_records(bytes, end + 4, number(bytes, 6)?)?;
        follow(&records, name, &mut answer);
    }
    Some(answer)
}

struct Record {
    owner: Name,
    ttl_s: u32,
    value: Value,
}

enum Value {
    Address(Ipv4Addr),
    Alias(Name),
}

fn read_records(bytes: &[u8], start: usize, count: u16) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut at = start;
    for _ in 0..count {
        let (owner, end) = read_name(bytes, at)?;
        let (kind, class) = (number(bytes, end)?, number(bytes, end + 2)?);
        let ttl_s = u32::from_be_bytes(*bytes.get(end + 4..)?.first_chunk()?);
        let data = end + 10;
        at = data + usize::from(number(bytes, end + 8)?);
        let content = bytes.get(data..at)?;
        let value = match (class, kind) {
            (CLASS_INTERNET, TYPE_A) => {
                let octets: [u8; 4] = content.try_into().ok()?;
                Value::Address(Ipv4Addr::from(octets))
            }
            (CLASS_INTERNET, TYPE_CNAME) => Value::Alias(read_name(bytes, data)?.0),
            _ => continue,
        };
        records.push(Record { owner, ttl_s, value });
    }
    Some(records)
}

/// Collects the addresses of a name: its own, or those of what it is an alias of.
fn follow(records: &[Record], name: &Name, answer: &mut Answer) {
    let mut current = name;
    for _ in 0..MOST_ALIASES {
        let alias = records.iter().find_map(|record| match &record.value {
            Value::Alias(target) if record.owner == *current => Some((target, record.ttl_s)),
            _ => None,
        });
        let Some((target, ttl_s)) = alias else { break };
        answer.ttl_s = answer.ttl_s.min(ttl_s);
        current = target;
    }
    for record in records.iter().filter(|record| record.owner == *current) {
        if let Value::Address(address) = record.value
            && answer.addresses.len() < MOST_ADDRESSES
            && !answer.addresses.contains(&address)
        {
            answer.ttl_s = answer.ttl_s.min(record.ttl_s);
            answer.addresses.push(address);
        }
    }
}

impl Question {
    /// Returns how long an answer over UDP may be.
    pub(super) fn datagram_bytes(&self) -> usize {
        usize::from(self.payload_bytes.unwrap_or_default().clamp(PLAIN_DATAGRAM_BYTES, DATAGRAM_BYTES))
    }

    /// Writes the answer to it; one that does not fit says so instead.
    pub(super) fn answer(&self, outcome: u8, addresses: &[Ipv4Addr], ttl_s: u32, longest: usize) -> Vec<u8> {
        /// The name is the one of the question, right behind the header.
        const SAME_NAME: [u8; 2] = [0xc0, 12];
        let extra = u16::from(self.payload_bytes.is_some());
        let count = u16::try_from(addresses.len()).unwrap_or(u16::MAX);
        let mut bytes = header(self.id, self.recursion_desired, outcome, false, [1, count, 0, extra]);
        bytes.extend_from_slice(&self.asked);
        for address in addresses {
            bytes.extend_from_slice(&SAME_NAME);
            bytes.extend_from_slice(&TYPE_A.to_be_bytes());
            bytes.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
            bytes.extend_from_slice(&ttl_s.to_be_bytes());
            bytes.extend_from_slice(&4_u16.to_be_bytes());
            bytes.extend_from_slice(&address.octets());
        }
        if extra == 1 {
            bytes.extend_from_slice(&options(DATAGRAM_BYTES));
        }
        if bytes.len() <= longest {
            return bytes;
        }
        let mut cut = header(self.id, self.recursion_desired, outcome, true, [1, 0, 0, 0]);
        cut.extend_from_slice(&self.asked);
        cut
    }
}

fn header(id: u16, recursion_desired: bool, outcome: u8, truncated: bool, counts: [u16; 4]) -> Vec<u8> {
    let flags = 0x80 | u8::from(recursion_desired) | (u8::from(truncated) << 1);
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[flags, 0x80 | outcome]);
    for count in counts {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes
}

/// The record that says what we can take.
fn options(payload_bytes: u16) -> [u8; 11] {
    let [_, kind] = TYPE_OPT.to_be_bytes();
    let [high, low] = payload_bytes.to_be_bytes();
    [0, 0, kind, high, low, 0, 0, 0, 0, 0, 0]
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

#[cfg(test)]
mod tests;
