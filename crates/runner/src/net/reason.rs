//! Why a packet was let through or refused: the headings under which rules report packets.

/// A heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It opened a connection that the policy allows.
    Allowed,
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
    /// Every reason to refuse a packet.
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
        let all = Self::REFUSALS.into_iter().chain([Self::Allowed]);
        all.into_iter().find(|reason| reason.heading().as_bytes() == heading)
    }

    /// Returns the chain that refuses for this reason.
    pub(super) fn chain(self) -> String {
        format!("refuse_{}", self.heading())
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_heading_leads_back_to_its_reason() {
        for reason in Reason::REFUSALS.into_iter().chain([Reason::Allowed]) {
            assert_eq!(Reason::of(reason.heading().as_bytes()), Some(reason));
        }
        assert_eq!(Reason::of(b"refuse"), None);
        assert_eq!(Reason::of(b""), None);
    }
}
