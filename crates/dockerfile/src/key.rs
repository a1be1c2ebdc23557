//! Names what a step comes to before it is done: two steps with one key make the same files.

use sha2::{Digest as _, Sha256};

use crate::evaluation::{Run, UNDECLARED};

/// Names a state of files by all that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// Names a beginning.
    pub fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix("build step, 1\n");
        add(&mut hash, kind.as_bytes());
        for part in parts {
            add(&mut hash, part);
        }
        Self(hash.finalize().into())
    }

    /// Names what comes of it by one more step.
    #[must_use]
    pub fn then(&self, kind: &str, parts: &[&[u8]]) -> Self {
        let mut all: Vec<&[u8]> = vec![&self.0];
        all.extend_from_slice(parts);
        Self::of(kind, &all)
    }

    /// Names what comes of running a program. `mounted` names what it finds besides.
    #[must_use]
    pub fn then_run(&self, run: &Run, mounted: &[Self]) -> Self {
        let mut hash = Sha256::new();
        let text = |hash: &mut Sha256, text: &str| add(hash, text.as_bytes());
        run.arguments.iter().for_each(|argument| text(&mut hash, argument));
        add(&mut hash, b"with");
        for (name, value) in run.environment.iter().filter(|(name, _)| !UNDECLARED.contains(&name.as_str())) {
            text(&mut hash, name);
            text(&mut hash, value);
        }
        text(&mut hash, &run.user);
        text(&mut hash, &run.working_directory);
        add(&mut hash, &[u8::from(run.is_offline)]);
        for (mount, origin) in &run.mounts {
            text(&mut hash, &format!("{mount:?} {origin:?}"));
        }
        for key in mounted {
            add(&mut hash, &key.0);
        }
        self.then("run", &[&hash.finalize()])
    }

    /// Writes it as lowercase hexadecimal.
    pub fn to_hex(&self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Adds a part so that no other parts look like it.
fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update(part.len().to_le_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parts_have_other_keys() {
        let base = Key::of("image", &[b"a"]);
        let keys = [
            base,
            base.then("copy", &[b"ab", b"c"]),
            base.then("copy", &[b"a", b"bc"]),
            base.then("run", &[b"ab", b"c"]),
            Key::of("image", &[b"b"]).then("copy", &[b"ab", b"c"]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        assert_eq!(base.to_hex().len(), 64);
    }

    #[test]
    fn only_what_counts_is_in_the_key_of_a_program() {
        let run = Run {
            arguments: vec!["a".into()],
            environment: vec![("http_proxy".into(), "x".into())],
            user: String::new(),
            working_directory: "/".into(),
            mounts: Vec::new(),
            is_offline: false,
        };
        let base = Key::of("image", &[]);
        let other_proxy = Run { environment: Vec::new(), ..run.clone() };
        assert_eq!(base.then_run(&run, &[]), base.then_run(&other_proxy, &[]));
        let other = Run { environment: vec![("a".into(), "x".into())], ..run.clone() };
        assert_ne!(base.then_run(&run, &[]), base.then_run(&other, &[]));
        assert_ne!(base.then_run(&run, &[]), base.then_run(&run, &[base]));
    }
}
