//! Why a token is refused, or cannot be judged.

/// A token that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The token is not good.
    #[error("take a token: {}", flaw.as_str())]
    Token {
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// No key of the provider is known, so nothing can be judged.
    #[error("judge a token: the login provider {issuer} was not reached yet")]
    NoKeys {
        /// The provider.
        issuer: String,
    },
    /// The client could not be made.
    #[error("prepare to ask the login provider {issuer}")]
    Prepare {
        /// The provider.
        issuer: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The provider did not answer.
    #[error("fetch {url}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The provider refused.
    #[error("fetch {url}: it answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// The answer is longer than any such document.
    #[error("fetch {url}: the answer is longer than {limit_bytes} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The most that is read.
        limit_bytes: usize,
    },
    /// The answer is not what it should be.
    #[error("read {url}")]
    Read {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The provider says that it is another.
    #[error(
        "read {url}: it speaks for the issuer `{said}`; set `oidc_issuer_base_url` or `public_oidc_domain` to that"
    )]
    OtherIssuer {
        /// What was asked for.
        url: String,
        /// Who it says that it is.
        said: String,
    },
    /// The address of the keys is none that may be asked.
    #[error("read {url}: `{address}` is no address that keys may come from")]
    KeyAddress {
        /// What was asked for.
        url: String,
        /// Where the keys are said to be.
        address: String,
    },
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// It is longer than any token.
    TooLong,
    /// It is not made as tokens are.
    Malformed,
    /// It is signed in a way that is not taken, or not at all.
    Algorithm,
    /// It is a token of another kind, or wants to be understood in a way that is not known here.
    Kind,
    /// No key of the provider made it.
    UnknownKey,
    /// Its signature does not hold.
    Signature,
    /// Another issuer made it.
    Issuer,
    /// It is made for others.
    Audience,
    /// Its time is over, or it has none.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It speaks for nobody, or for whom it may not speak.
    Subject,
}

impl Flaw {
    /// Says it to the operator.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "it is too long",
            Self::Malformed => "it is malformed",
            Self::Algorithm => "it is not signed with RS256 or ES256",
            Self::Kind => "it is not an access token, or has critical parts that are not known",
            Self::UnknownKey => "no published key of the login provider fits it",
            Self::Signature => "its signature does not hold",
            Self::Issuer => "its issuer is not the configured one",
            Self::Audience => "it is not made for the configured audience",
            Self::Expired => "its time is over",
            Self::NotYetValid => "its time has not come",
            Self::Subject => "it names no user who may log in",
        }
    }
}

impl From<Flaw> for IdentityError {
    fn from(flaw: Flaw) -> Self {
        Self::Token { flaw }
    }
}
