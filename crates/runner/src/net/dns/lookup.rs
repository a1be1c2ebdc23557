//! One lookup: is it a neighbour's name, may it be asked, what comes back, and may that be told. What is told of the
//! world to a sandbox with a list is pinned before.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use types::sandbox;

use crate::net::dns::message::{self, Question};
use crate::net::dns::upstream::Upstream;
use crate::net::ground;
use crate::net::ledger::{Entry, Ledger};
use crate::net::pins;
use crate::net::policy::DOMAIN_PORT;
use crate::net::reason::{BLOCKED, LINK, NO_LIST};
use crate::net::rules::Rules;

/// How long a program may believe where a neighbour is: after a stop and a start it may be elsewhere.
const NEIGHBOUR_TTL_S: u32 = 5;
/// Questions that all sandboxes together have with the host's name servers.
const MOST_ASKED: usize = 512;
/// How long the list of the host's own addresses is believed.
const HOST_LIST_AGE: Duration = Duration::from_secs(5);

/// Answers questions of all sandboxes.
#[derive(Debug)]
pub(super) struct Desk {
    rules: Arc<Rules>,
    ledger: Arc<Ledger>,
    upstream: Upstream,
    relay: Upstream,
    asked: Semaphore,
    host: Mutex<Option<(Instant, Vec<Ipv4Addr>)>>,
}

/// What a question comes to.
struct Outcome {
    code: u8,
    addresses: Vec<Ipv4Addr>,
    ttl_s: u32,
}

impl Outcome {
    const fn empty(code: u8) -> Self {
        Self { code, addresses: Vec::new(), ttl_s: 0 }
    }
}

impl Desk {
    pub(super) fn new(rules: Arc<Rules>, ledger: Arc<Ledger>, upstream: Upstream, relay: Upstream) -> Self {
        Self { rules, ledger, upstream, relay, asked: Semaphore::new(MOST_ASKED), host: Mutex::new(None) }
    }

    /// Returns the answer to what a sandbox sent, no longer than `longest`, or than the asker takes in a datagram;
    /// `None` when it gets none.
    pub(super) async fn answer(&self, index: u32, bytes: &[u8], longest: Option<usize>) -> Option<Vec<u8>> {
        let question = match message::read_question(bytes) {
            Ok(question) => question,
            Err(refusal) => return refusal.0,
        };
        let Some(policy) = self.rules.policy_of(index) else {
            return Some(question.answer(message::REFUSED, &[], 0, message::DATAGRAM_BYTES.into()));
        };
        let outcome = match self.neighbour(index, &question) {
            Some(outcome) => outcome,
            None if !policy.listed() && !policy.block_all => {
                if let Some(answer) = self.hand_on(index, &question, bytes, longest.is_some()).await {
                    return Some(answer);
                }
                Outcome::empty(message::SERVER_FAILURE)
            }
            None => self.decide(index, &policy, &question).await,
        };
        let longest = longest.unwrap_or_else(|| question.datagram_bytes());
        Some(question.answer(outcome.code, &outcome.addresses, outcome.ttl_s, longest))
    }

    /// Writes down that a question was thrown away because there were too many.
    pub(super) fn overrun(&self, index: u32) {
        self.note(index, "any", "too many lookups at once".to_owned(), false);
    }

    /// Answers for those that the sandbox is linked with, whatever the world says of their names.
    fn neighbour(&self, index: u32, question: &Question) -> Option<Outcome> {
        let name = question.name.text().filter(|_| question.class == message::CLASS_INTERNET)?;
        let neighbour = self.rules.find_neighbour(index, &name)?;
        self.note(index, &name, LINK.to_owned(), true);
        let is_address = question.kind == message::TYPE_A;
        let addresses = if is_address { vec![neighbour] } else { Vec::new() };
        Some(Outcome { code: message::NO_ERROR, addresses, ttl_s: NEIGHBOUR_TTL_S })
    }

    /// Asks the usual name servers what a sandbox without a list would have asked them itself.
    async fn hand_on(
        &self,
        index: u32,
        question: &Question,
        bytes: &[u8],
        over_tcp: bool,
    ) -> Option<Vec<u8>> {
        let Ok(_permit) = self.asked.try_acquire() else {
            self.overrun(index);
            return None;
        };
        let answer = self.relay.relay(question, bytes, over_tcp).await;
        let rule = if answer.is_some() { NO_LIST } else { "no usual name server answers" };
        self.note(index, &question.name.shown(), rule.to_owned(), answer.is_some());
        answer
    }

    async fn decide(&self, index: u32, policy: &sandbox::Network, question: &Question) -> Outcome {
        let refuse = |rule: &str| {
            self.note(index, &question.name.shown(), rule.to_owned(), false);
            Outcome::empty(message::REFUSED)
        };
        let (name, pattern) = match listed(policy, question) {
            Ok(found) => found,
            Err(rule) => return refuse(rule),
        };
        if question.kind != message::TYPE_A {
            // There is IPv4 only, and no detour that another type of record could show.
            return Outcome::empty(message::NO_ERROR);
        }
        let Ok(_permit) = self.asked.try_acquire() else {
            self.overrun(index);
            return Outcome::empty(message::SERVER_FAILURE);
        };
        let Some(answer) = self.upstream.ask(&question.name).await else {
            self.note(index, &name, "no name server of the host answers".to_owned(), false);
            return Outcome::empty(message::SERVER_FAILURE);
        };
        if answer.outcome != message::NO_ERROR {
            return Outcome::empty(answer.outcome);
        }
        let asked = answer.addresses.len();
        let addresses = self.permitted(index, &name, answer.addresses);
        if addresses.is_empty() {
            return Outcome::empty(if asked == 0 { message::NO_ERROR } else { message::REFUSED });
        }
        match self.rules.pin(index, &name, &addresses, answer.ttl_s) {
            Ok(true) => {}
            Ok(false) => return refuse("the list changed meanwhile"),
            // Without a pin the address could not be reached: better no answer than one that leads nowhere.
            Err(_) => return Outcome::empty(message::SERVER_FAILURE),
        }
        self.note(index, &name, format!("domain {pattern} on the allow list"), true);
        Outcome { code: message::NO_ERROR, addresses, ttl_s: answer.ttl_s.min(pins::LONGEST_S) }
    }

    /// Leaves out addresses that no sandbox may reach, and says so.
    fn permitted(&self, index: u32, name: &str, mut addresses: Vec<Ipv4Addr>) -> Vec<Ipv4Addr> {
        addresses.retain(|address| {
            let own = || self.is_hosts(*address).then(|| "address of the host".to_owned());
            let denied = self.rules.policy.denies(*address).or_else(own);
            if let Some(reason) = &denied {
                let rule = format!("name answers with a denied address: {address}, {reason}");
                self.note(index, name, rule, false);
            }
            denied.is_none()
        });
        addresses
    }

    fn is_hosts(&self, address: Ipv4Addr) -> bool {
        let mut list = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = list.as_ref().is_some_and(|(at, _)| at.elapsed() < HOST_LIST_AGE);
        if !fresh {
            // When the list cannot be read the old one counts; the rules keep sandboxes from the host in any case.
            *list = ground::addresses().ok().map(|found| (Instant::now(), found)).or_else(|| list.take());
        }
        list.as_ref().is_some_and(|(_, found)| found.contains(&address))
    }

    fn note(&self, index: u32, name: &str, rule: String, allowed: bool) {
        self.ledger.count(
            index,
            Entry {
                destination: name.to_owned(),
                port: Some(DOMAIN_PORT),
                protocol: "dns".to_owned(),
                name: None,
                rule,
                allowed,
            },
        );
    }
}

/// Returns the name as text and the pattern that it is listed by, or why it is not.
fn listed(policy: &sandbox::Network, question: &Question) -> Result<(String, String), &'static str> {
    let Some(name) = question.name.text() else {
        return Err("name with characters that no host has");
    };
    if policy.block_all {
        return Err(BLOCKED);
    }
    if policy.domain_allow_list.is_empty() {
        return Err("no domain on the allow list");
    }
    if question.class != message::CLASS_INTERNET {
        return Err("name of another class than the internet's");
    }
    let pattern = policy.domain_allow_list.iter().find(|pattern| pattern.matches(&name));
    pattern.map(|pattern| (name, pattern.to_string())).ok_or("name not on the allow list")
}
