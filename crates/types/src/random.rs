//! The only source of chance.

/// Fills buffers with unpredictable bytes; tests hold one that counts.
pub trait Random: std::fmt::Debug + Send + Sync {
    /// Fills `buffer` with bytes fit for keys.
    fn fill(&self, buffer: &mut [u8]);
}

/// The kernel's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// Fills `buffer` from `getrandom(2)`, trying again when a signal interrupts: the call cannot fail otherwise
    /// on the kernels we run on, and handing out a predictable key would be worse than waiting.
    fn fill(&self, buffer: &mut [u8]) {
        while getrandom::fill(buffer).is_err() {
            std::thread::yield_now();
        }
    }
}

/// Returns `length` characters drawn evenly from `0-9a-z`.
pub fn lowercase_token(random: &dyn Random, length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut token = String::with_capacity(length);
    let mut block = [0_u8; 32];
    while token.len() < length {
        random.fill(&mut block);
        // 252 = 7 × 36: larger bytes would favour the first characters.
        for byte in block.iter().filter(|byte| **byte < 252) {
            if token.len() == length {
                break;
            }
            if let Some(character) = ALPHABET.get(usize::from(byte % 36)) {
                token.push(char::from(*character));
            }
        }
    }
    token
}

/// Returns `bytes` random bytes as lowercase hexadecimal, twice as many characters.
pub fn hex_token(random: &dyn Random, bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    random.fill(&mut buffer);
    crate::hex::encode(&buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_asked_length_and_alphabet() {
        let token = lowercase_token(&SystemRandom, 32);
        assert_eq!(token.len(), 32);
        assert!(token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_eq!(hex_token(&SystemRandom, 32).len(), 64);
        assert_ne!(hex_token(&SystemRandom, 32), hex_token(&SystemRandom, 32));
    }
}
