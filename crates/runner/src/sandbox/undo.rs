//! A list of what to take back when a later step fails.

/// Runs its entries in reverse when dropped, unless it was told to keep what was done.
#[derive(Default)]
pub struct Undo<'a> {
    entries: Vec<Box<dyn FnOnce() + Send + 'a>>,
}

impl std::fmt::Debug for Undo<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Undo({} entries)", self.entries.len())
    }
}

impl<'a> Undo<'a> {
    /// Adds what takes back the step that just succeeded.
    pub fn push(&mut self, entry: impl FnOnce() + Send + 'a) {
        self.entries.push(Box::new(entry));
    }

    /// Keeps everything that was done.
    pub fn keep(mut self) {
        self.entries.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some(entry) = self.entries.pop() {
            entry();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn takes_back_in_reverse_unless_kept() {
        let seen = Mutex::new(Vec::new());
        let run = |keep: bool| {
            let mut undo = Undo::default();
            undo.push(|| seen.lock().unwrap().push(1));
            undo.push(|| seen.lock().unwrap().push(2));
            if keep {
                undo.keep();
            }
        };
        run(true);
        assert!(seen.lock().unwrap().is_empty());
        run(false);
        assert_eq!(*seen.lock().unwrap(), [2, 1]);
    }
}
