//! How a request went (draft-ietf-secsh-filexfer-02 §7).

use rustix::io::Errno;

use crate::encoding::Writer as _;

const STATUS: u8 = 101;

/// A request that was not done, with the protocol's number and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    code: u32,
    words: String,
}

impl Refusal {
    /// Nothing more is there.
    pub(super) fn end() -> Self {
        Self { code: 1, words: "end of file".to_owned() }
    }

    /// The request makes no sense.
    pub(super) fn malformed(words: &str) -> Self {
        Self { code: 5, words: words.to_owned() }
    }

    /// The request is not known.
    pub(super) fn unsupported() -> Self {
        Self { code: 8, words: "not supported".to_owned() }
    }

    /// Something else.
    pub(super) fn failure(words: &str) -> Self {
        Self { code: 4, words: words.to_owned() }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        let code = match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::BADF | Errno::LOOP) => 2,
            Some(Errno::ACCESS | Errno::PERM) => 3,
            Some(Errno::NOSYS | Errno::OPNOTSUPP) => 8,
            _ => 4,
        };
        let words = error.to_string();
        Self { code, words: words.split(" (os error").next().unwrap_or_default().to_owned() }
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        std::io::Error::from(error).into()
    }
}

impl From<crate::error::SshError> for Refusal {
    fn from(_: crate::error::SshError) -> Self {
        Self::malformed("the request is malformed")
    }
}

/// Returns the body of the answer to a request that has no other.
pub(super) fn body(id: u32, outcome: Result<(), Refusal>) -> Vec<u8> {
    let (code, words) = match outcome {
        Ok(()) => (0, "success".to_owned()),
        Err(refusal) => (refusal.code, refusal.words),
    };
    Vec::new().byte(STATUS).number(id).number(code).string(words.as_bytes()).string(b"en")
}
