//! Who the client is (RFC 4252): nobody asks here.
//!
//! Authentication has happened at the gateway, and only the host can reach the socket that leads here. So no proof at
//! all is accepted, any public key is, and the password that gateways of the original use.

use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;
use crate::message;

const PASSWORD: &str = "sandbox-ssh";
/// What is offered to a client that tried something else.
const METHODS: &str = "publickey,password";
/// How many tries a client has.
const TRIES: u32 = 20;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The answer.
    pub(crate) answer: Vec<u8>,
    /// Whether the client is in.
    pub(crate) is_accepted: bool,
}

/// Judges one request; `tries` counts those that failed.
pub(crate) fn judge(request: &[u8], tries: &mut u32) -> Result<Verdict, SshError> {
    let mut reader = Reader::new(request);
    reader.byte()?;
    // Whoever it says it is becomes the sandbox's user.
    let _name = reader.string()?;
    if reader.string()? != b"ssh-connection" {
        return Err(SshError::Protocol { what: "it asked for an unknown service" });
    }
    let accepted = || Verdict { answer: vec![message::USERAUTH_SUCCESS], is_accepted: true };
    match reader.string()? {
        b"none" => return Ok(accepted()),
        b"password" => {
            let _is_change = reader.boolean()?;
            if reader.string()? == PASSWORD.as_bytes() {
                return Ok(accepted());
            }
        }
        b"publickey" => {
            let is_signed = reader.boolean()?;
            let (algorithm, key) = (reader.string()?, reader.string()?);
            // A signature proves nothing that matters here, so it is not looked at.
            return Ok(if is_signed {
                accepted()
            } else {
                let answer = Vec::new().byte(message::USERAUTH_PK_OK).string(algorithm).string(key);
                Verdict { answer, is_accepted: false }
            });
        }
        _ => {}
    }
    *tries += 1;
    if *tries > TRIES {
        return Err(SshError::Protocol { what: "it tried to authenticate too often" });
    }
    let answer = Vec::new().byte(message::USERAUTH_FAILURE).string(METHODS.as_bytes()).byte(0);
    Ok(Verdict { answer, is_accepted: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, rest: &[u8]) -> Vec<u8> {
        let request = Vec::new().byte(message::USERAUTH_REQUEST).string(b"anybody");
        request.string(b"ssh-connection").string(method.as_bytes()).raw(rest)
    }

    #[test]
    fn no_proof_any_key_and_the_known_password_are_accepted() {
        let mut tries = 0;
        let probe = Vec::new().byte(0).string(b"ssh-x").string(b"key");
        let signed = Vec::new().byte(1).string(b"ssh-x").string(b"key").string(b"signature");
        let password = Vec::new().byte(0).string(b"sandbox-ssh");
        for (method, rest, is_accepted) in [
            ("none", &[][..], true),
            ("publickey", &signed, true),
            ("password", &password, true),
            ("publickey", &probe, false),
        ] {
            let verdict = judge(&request(method, rest), &mut tries).unwrap();
            assert_eq!(verdict.is_accepted, is_accepted, "{method}");
        }
        assert_eq!(tries, 0);
    }

    #[test]
    fn everything_else_is_refused_and_not_for_ever() {
        let mut tries = 0;
        let wrong = request("password", &Vec::new().byte(0).string(b"guess"));
        for _ in 0..TRIES {
            let verdict = judge(&wrong, &mut tries).unwrap();
            assert!(!verdict.is_accepted && verdict.answer[0] == message::USERAUTH_FAILURE);
        }
        judge(&wrong, &mut tries).unwrap_err();
        judge(&request("password", &[0]), &mut 0).unwrap_err();
    }
}
