//! Texts that many sandboxes have in common, kept once: who compares them reads the same memory again instead of a copy
//! in each sandbox.

use std::collections::HashSet;
use std::sync::Arc;

/// From how many texts on those that nobody has any more are let go.
const SWEPT_FROM: usize = 1_024;

/// The texts of one organisation's sandboxes. Equal texts are one, so that they can be told apart by where they are.
#[derive(Debug)]
pub(crate) struct Texts {
    known: HashSet<Arc<str>>,
    swept_at: usize,
}

impl Default for Texts {
    fn default() -> Self {
        Self { known: HashSet::new(), swept_at: SWEPT_FROM }
    }
}

impl Texts {
    /// Returns the one copy of a text.
    pub(crate) fn keep(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.swept_at {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            self.swept_at = SWEPT_FROM.max(self.known.len().saturating_mul(2));
        }
        let text: Arc<str> = text.into();
        self.known.insert(Arc::clone(&text));
        text
    }

    /// Returns the one copy of a text, if any sandbox has it.
    pub(crate) fn find(&self, text: &str) -> Option<&Arc<str>> {
        self.known.get(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_those_of_nobody_are_let_go() {
        let mut texts = Texts::default();
        let held = texts.keep("held");
        assert!(Arc::ptr_eq(&held, &texts.keep("held")));
        for number in 0..10 * SWEPT_FROM {
            texts.keep(&number.to_string());
        }
        assert!(texts.known.len() <= 2 * SWEPT_FROM, "{}", texts.known.len());
        assert!(texts.find("held").is_some_and(|found| Arc::ptr_eq(found, &held)));
        assert!(texts.find("0").is_none());
    }
}
