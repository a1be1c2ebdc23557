//! Why a packet was let through or refused: the headings under which rules report packets.

/// What people are told of packets and names alike.
pub(super) const LINK: &str = "link";
pub(super) const NO_LIST: &str = "no allow list";
pub(super) const BLOCKED: &str = "the network is blocked";

/// A heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It opened a connection that the policy allows.
    Allowed,
    /// It opened a connection to a sandbox that its sender is linked with.
    Linked,
    /// The sandbox's network is shut.
    Blocked,
    /// It did not carry the sandbox's own address.
    Spoofed,
    /// It was for another sandbox, or for an address that one may have.
    Sandbox,
    /// It was for the host itself.
    Host,
    /// Its destination is one that no sandbox may reach.
    Denied,
    /// It asked a name server behind the resolver's back.
    Lookup,
    /// It was neither TCP nor UDP, and the sandbox has a list.
    Protocol,
    /// Its destination is on no list of the sandbox.
    Unlisted,
    /// It opened a connection right after too many others: each costs the whole host memory for a while.
    Pace,
}

impl Reason {
    /// Every reason to let a packet through.
    pub(super) const ALLOWANCES: [Self; 2] = [Self::Allowed, Self::Linked];
    /// Every reason to refuse one.
    pub(super) const REFUSALS: [Self; 9] = [
        Self::Blocked,
        Self::Spoofed,
        Self::Sandbox,
        Self::Host,
        Self::Denied,
        Self::Lookup,
        Self::Protocol,
        Self::Unlisted,
        Self::Pace,
    ];

    /// Returns its word in the rules.
    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Linked => "linked",
            Self::Blocked => "blocked",
            Self::Spoofed => "spoofed",
            Self::Sandbox => "sandbox",
            Self::Host => "host",
            Self::Denied => "denied",
            Self::Lookup => "lookup",
            Self::Protocol => "protocol",
            Self::Unlisted => "unlisted",
            Self::Pace => "pace",
        }
    }

    /// Finds the reason of a heading.
    pub(super) fn of(heading: &[u8]) -> Option<Self> {
        let all = Self::REFUSALS.into_iter().chain(Self::ALLOWANCES);
        all.into_iter().find(|reason| reason.heading().as_bytes() == heading)
    }

    /// Tells whether packets pass for this reason.
    pub(super) fn allows(self) -> bool {
        Self::ALLOWANCES.contains(&self)
    }

    /// Returns the chain that counts, and refuses or lets through, for this reason.
    pub(super) fn chain(self) -> String {
        let verdict = if self.allows() { "count" } else { "refuse" };
        format!("{verdict}_{}", self.heading())
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_heading_leads_back_to_its_reason() {
        for reason in Reason::REFUSALS.into_iter().chain(Reason::ALLOWANCES) {
            assert_eq!(Reason::of(reason.heading().as_bytes()), Some(reason));
        }
        assert_eq!(Reason::of(b"refuse"), None);
        assert_eq!(Reason::of(b""), None);
    }
}
