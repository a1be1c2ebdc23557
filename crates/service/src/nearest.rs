//! Which known name a misspelt one was probably meant to be.

/// Returns the candidate with the fewest edits, if few enough that the suggestion helps.
pub fn nearest<'name>(wrong: &str, candidates: impl IntoIterator<Item = &'name str>) -> Option<&'name str> {
    let limit = (wrong.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(wrong, candidate), candidate))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, _)| *edits <= limit)
        .map(|(_, candidate)| candidate)
}

/// Counts the single-character edits between two words (Levenshtein), row by row.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut row = vec![line + 1];
        let mut beside = line + 1;
        for (pair, to) in above.windows(2).zip(&right) {
            let [diagonal, over] = pair else { continue };
            let swap = diagonal + usize::from(from != *to);
            beside = swap.min(over + 1).min(beside + 1);
            row.push(beside);
        }
        above = row;
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (left, right, edits) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("port", "prot", 2), ("port", "sport", 1)]
        {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["port", "proxy_port", "data_dir"];
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("datadir", known), Some("data_dir"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
