//! Reads `COPY` and `ADD`.

use crate::instruction::{CopyText, Heredoc, Source};
use crate::pattern::Pattern;
use crate::text::Line;
use crate::word;

/// Reads what follows the flags.
pub(crate) fn read(
    line: &Line,
    flags: &[(String, String)],
    rest: &str,
    escape: char,
) -> Result<CopyText, String> {
    let is_add = line.keyword == "ADD";
    let mut copy = CopyText {
        from: None,
        sources: Vec::new(),
        destination: String::new(),
        owner: None,
        mode: None,
        excluded: Vec::new(),
        unpacks: is_add,
    };
    for (name, value) in flags {
        match name.as_str() {
            "from" if !is_add => copy.from = Some(value.clone()),
            "chown" => copy.owner = Some(value.clone()),
            "chmod" => copy.mode = Some(value.clone()),
            // Each layer stands alone here in any case.
            "link" => {}
            "exclude" => {
                Pattern::parse(value)?;
                copy.excluded.push(value.clone());
            }
            "unpack" if is_add => copy.unpacks = value != "false",
            _ => {
                return Err(format!(
                    "`--{name}` of {} is not built; there are --chown, --chmod, --exclude and --link{}",
                    line.keyword,
                    if is_add { "" } else { ", and --from" }
                ));
            }
        }
    }
    let mut words = match word::json(rest) {
        Some(words) => words,
        None => word::split(rest, escape),
    };
    let missing = || format!("{} needs what to copy and where to, as in `{0} file /place/`", line.keyword);
    copy.destination = words.pop().ok_or_else(missing)?;
    if words.is_empty() {
        return Err(missing());
    }
    let mut texts = line.heredocs.iter();
    for word in words {
        copy.sources.push(source(word, &mut texts, is_add)?);
    }
    Ok(copy)
}

fn source<'a>(
    word: String,
    texts: &mut impl Iterator<Item = &'a Heredoc>,
    is_add: bool,
) -> Result<Source, String> {
    if word.starts_with("<<") {
        return texts.next().cloned().map(Source::Text).ok_or_else(|| format!("`{word}` has no text"));
    }
    let is_address = ["http://", "https://", "ftp://", "git://", "git@", "ssh://"]
        .iter()
        .any(|scheme| word.to_ascii_lowercase().starts_with(scheme));
    if is_address {
        let verb = if is_add { "ADD" } else { "COPY" };
        return Err(format!(
            "{verb} of an address is not built: the host would fetch it past the network rules of the build; use RUN with curl, wget or git"
        ));
    }
    Ok(Source::Path(word))
}
