//! Which keys a page of a listing shows.

/// What was asked of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// What keys begin with.
    pub(crate) prefix: String,
    /// What ends the part of keys that is shown once for all that share it.
    pub(crate) delimiter: Option<String>,
    /// The keys that are shown come after this one.
    pub(crate) after: String,
    /// Whether `after` is what the page before showed last, and so is not to be shown again.
    pub(crate) is_continued: bool,
    /// The most entries.
    pub(crate) most: usize,
}

/// What a page shows: in the order of its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) text: String,
    /// Whether it stands for all keys that begin so.
    pub(crate) is_prefix: bool,
}

impl Page {
    /// Returns what stands for a key on this page.
    pub(crate) fn entry(&self, key: &str) -> Option<Entry> {
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let cut = delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
        let entry = match cut.and_then(|cut| rest.get(..cut)) {
            Some(shown) => Entry { text: format!("{}{shown}", self.prefix), is_prefix: true },
            None => Entry { text: key.to_owned(), is_prefix: false },
        };
        let is_shown = key > self.after.as_str() && !(self.is_continued && entry.text == self.after);
        is_shown.then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shown(page: &Page) -> Vec<String> {
        let keys = ["o/a", "o/a/b", "o/a/c", "o/ab", "o/b/c", "p"];
        let entries: BTreeSet<Entry> = keys.iter().filter_map(|key| page.entry(key)).collect();
        entries.into_iter().map(|entry| entry.text).collect()
    }

    #[test]
    fn prefixes_fold_and_pages_go_on_where_the_last_ended() {
        let page = Page { prefix: "o/".to_owned(), ..Page::default() };
        assert_eq!(shown(&page), ["o/a", "o/a/b", "o/a/c", "o/ab", "o/b/c"]);
        let folded = Page { delimiter: Some("/".to_owned()), ..page.clone() };
        assert_eq!(shown(&folded), ["o/a", "o/a/", "o/ab", "o/b/"]);
        let begun = Page { after: "o/a/b".to_owned(), ..folded.clone() };
        assert_eq!(shown(&begun), ["o/a/", "o/ab", "o/b/"]);
        let next = Page { after: "o/a/".to_owned(), is_continued: true, ..folded.clone() };
        assert_eq!(shown(&next), ["o/ab", "o/b/"]);
        assert_eq!(shown(&Page { delimiter: Some(String::new()), ..page }).len(), 5);
        assert!(shown(&Page { prefix: "o/x".to_owned(), ..folded }).is_empty());
    }
}
