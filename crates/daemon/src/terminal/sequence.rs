//! The control sequences in a terminal's output (ECMA-48, and what xterm adds): just enough to cut it in the right
//! place and to show it a second time.

/// The longest sequence that is looked at; longer ones are passed over.
const KEPT_BYTES: usize = 64;
/// A string that never ends is text after all, as terminals see it too.
const STRING_BYTES: usize = 1024 * 1024;
const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
/// Asks a terminal of the seventies who it is.
const ENQUIRY: u8 = 0x05;
/// End any sequence at once.
const CANCELS: [u8; 2] = [0x18, 0x1a];

/// The switches of a terminal that matter to somebody who comes later, with what they are at first.
const MODES: [(&str, bool); 13] = [
    ("1", false),  // cursor keys send other sequences
    ("7", true),   // long lines wrap
    ("25", true),  // the cursor is seen
    ("47", false), // the other screen, three spellings of it
    ("1047", false),
    ("1049", false),
    ("1000", false), // the mouse is told
    ("1002", false),
    ("1003", false),
    ("1004", false),
    ("1006", false),
    ("2004", false), // what is pasted is marked
    ("2026", false),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between sequences.
    Text,
    /// Behind ESC.
    Escape,
    /// In a control sequence, `ESC [` up to a letter.
    Control,
    /// In a string, such as a title: up to BEL or `ESC \`.
    String,
    /// Behind an ESC in a string.
    StringEscape,
}

/// Follows output byte by byte.
#[derive(Debug, Clone)]
pub struct Parser {
    place: Place,
    /// The sequence so far, its beginning at least.
    sequence: Vec<u8>,
    length_bytes: usize,
    modes: [bool; MODES.len()],
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            place: Place::Text,
            sequence: Vec::new(),
            length_bytes: 0,
            modes: MODES.map(|(_, is_on)| is_on),
        }
    }
}

impl Parser {
    /// Returns whether no sequence has begun that has not ended.
    pub fn is_between(&self) -> bool {
        self.place == Place::Text
    }

    /// Goes on to the end of these bytes.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        loop {
            if self.place == Place::Text {
                let Some(at) = memchr::memchr(ESCAPE, bytes) else { return };
                bytes = bytes.get(at..).unwrap_or_default();
            }
            let Some((first, rest)) = bytes.split_first() else { return };
            self.step(*first);
            bytes = rest;
        }
    }

    /// Returns what brings a new terminal into the state that output so far has left.
    pub fn state(&self) -> Vec<u8> {
        let changed = MODES.iter().zip(self.modes).filter(|((_, at_first), now)| at_first != now);
        let sequences =
            changed.map(|((name, _), now)| format!("\x1b[?{name}{}", if now { 'h' } else { 'l' }));
        sequences.collect::<String>().into_bytes()
    }

    fn step(&mut self, byte: u8) {
        if self.place == Place::Text && byte != ESCAPE {
            return;
        }
        if self.place == Place::Text {
            self.sequence.clear();
            self.length_bytes = 0;
        }
        self.length_bytes += 1;
        if self.sequence.len() < KEPT_BYTES {
            self.sequence.push(byte);
        }
        self.place = match self.place {
            Place::Text => Place::Escape,
            _ if CANCELS.contains(&byte) || self.length_bytes > STRING_BYTES => Place::Text,
            Place::Escape => match byte {
                b'[' => Place::Control,
                b']' | b'P' | b'X' | b'^' | b'_' => Place::String,
                // Intermediate bytes, and controls that a terminal obeys without leaving the sequence.
                0x00..=0x2f => Place::Escape,
                _ => Place::Text,
            },
            Place::Control if byte == ESCAPE => self.restart(Place::Escape),
            Place::Control if (0x40..=0x7e).contains(&byte) => {
                self.note_modes();
                Place::Text
            }
            Place::Control => Place::Control,
            Place::String if byte == BELL => Place::Text,
            Place::String if byte == ESCAPE => Place::StringEscape,
            Place::String => Place::String,
            Place::StringEscape if byte == b'\\' => Place::Text,
            // An ESC ends a string; what follows it begins something else.
            Place::StringEscape => {
                self.restart(Place::Escape);
                self.place = Place::Escape;
                self.step(byte);
                self.place
            }
        };
    }

    fn restart(&mut self, place: Place) -> Place {
        self.sequence = vec![ESCAPE];
        self.length_bytes = 1;
        place
    }

    /// Remembers switches: `ESC [ ? 25 ; 1049 h` turns on, `l` off.
    fn note_modes(&mut self) {
        let is_on = self.sequence.last() == Some(&b'h');
        let Some(names) = private(&self.sequence).filter(|_| is_on || self.sequence.last() == Some(&b'l'))
        else {
            return;
        };
        for name in names.split(|byte| *byte == b';') {
            let known = MODES.iter().position(|(mode, _)| mode.as_bytes() == name);
            if let Some(mode) = known.and_then(|index| self.modes.get_mut(index)) {
                *mode = is_on;
            }
        }
    }
}

fn private(sequence: &[u8]) -> Option<&[u8]> {
    sequence.strip_prefix(b"\x1b[?")?.split_last().map(|(_, names)| names)
}

/// Returns output as it may be shown to one who was not there: without bells, and without questions, which would be
/// answered a second time, into the keyboard of whatever program runs now.
pub fn retell(bytes: &[u8]) -> Vec<u8> {
    let mut told = Vec::with_capacity(bytes.len());
    let mut parser = Parser::default();
    let mut sequence: Vec<u8> = Vec::new();
    for byte in bytes {
        let was_between = parser.is_between();
        parser.step(*byte);
        if was_between && parser.is_between() {
            if !matches!(*byte, BELL | ENQUIRY) {
                told.push(*byte);
            }
            continue;
        }
        sequence.push(*byte);
        // Another one has begun inside: terminals forget the first.
        sequence.drain(..sequence.len().saturating_sub(parser.length_bytes));
        if parser.is_between() {
            if !is_question(&sequence) {
                told.extend_from_slice(&sequence);
            }
            sequence.clear();
        }
    }
    // What has only begun goes on live.
    told.extend_from_slice(&sequence);
    told
}

/// Returns whether a terminal would answer to this sequence.
fn is_question(sequence: &[u8]) -> bool {
    let Some((last, before)) = sequence.split_last() else { return false };
    if let Some(parameters) = before.strip_prefix(b"\x1b[") {
        return match last {
            // Who are you; how are you, where is the cursor; which one are you exactly.
            b'c' | b'x' => true,
            b'n' => !parameters.starts_with(b">"),
            b'q' => parameters.starts_with(b">"),
            // Is this switch on; which keyboard do you speak.
            b'p' => parameters.ends_with(b"$"),
            b'u' => parameters == b"?",
            // What is the size of your window, and the like; below 11 they change it.
            b't' => first_number(parameters).is_some_and(|number| (11..=21).contains(&number)),
            _ => false,
        };
    }
    if sequence == b"\x1bZ" {
        return true;
    }
    let body = before.strip_suffix(b"\x1b").unwrap_or(before);
    if let Some(command) = sequence.strip_prefix(b"\x1b]") {
        // What is this colour; what is on the clipboard.
        let is_asking = body.ends_with(b";?") || body.windows(3).any(|three| three == b";?;");
        return is_asking && command.first().is_some_and(u8::is_ascii_digit);
    }
    // What is this setting; what is this capability.
    sequence.starts_with(b"\x1bP$q") || sequence.starts_with(b"\x1bP+q")
}

fn first_number(parameters: &[u8]) -> Option<u32> {
    let first = parameters.split(|byte| *byte == b';').next()?;
    std::str::from_utf8(first).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(bytes: &[u8]) -> Parser {
        let mut parser = Parser::default();
        parser.pass(bytes);
        parser
    }

    #[test]
    fn a_cut_is_safe_only_between_sequences() {
        for whole in [
            "text\r\n",
            "\x1b[1;31m",
            "\x1b]0;a title\x07",
            "\x1b]0;a\x1b\\",
            "\x1bPq...\x1b\\",
            "\x1b(B",
            "\x1b7",
            "\x1b]0;a\x1b[m",
            "\x1b[1\x1b[m",
            "\x1b[12\x18x",
        ] {
            let bytes = whole.as_bytes();
            assert!(after(bytes).is_between(), "{whole:?}");
            if bytes[0] == 0x1b {
                for end in 1..bytes.len() - 1 {
                    assert!(!after(&bytes[..end]).is_between(), "{:?}", &whole[..end]);
                }
            }
        }
    }

    #[test]
    fn it_makes_no_difference_how_the_bytes_are_divided() {
        let bytes = b"a\x1b[?1049h\x1b]0;t\x1b\\b\x1b[?25;7lc\x1b[?2004h\x1b[?2004l\x1b[38;5;1m\x1b[?99h";
        let whole = after(bytes).state();
        assert_eq!(whole, b"\x1b[?7l\x1b[?25l\x1b[?1049h");
        let mut parser = Parser::default();
        for byte in bytes {
            parser.pass(std::slice::from_ref(byte));
        }
        assert_eq!(parser.state(), whole);
    }

    #[test]
    fn a_string_that_never_ends_is_given_up() {
        let mut parser = after(b"\x1b]0;");
        for _ in 0..=STRING_BYTES / 1024 {
            parser.pass(&[b'x'; 1024]);
        }
        assert!(parser.is_between());
        assert!(parser.sequence.len() <= KEPT_BYTES);
    }

    #[test]
    fn what_is_told_again_asks_nothing() {
        for question in [
            "\x1b[c",
            "\x1b[>0c",
            "\x1b[6n",
            "\x1b[?6n",
            "\x1b[?2026$p",
            "\x1b[>q",
            "\x1b]11;?\x07",
            "\x1b]4;1;?\x1b\\",
            "\x1b]52;c;?\x07",
            "\x1bP$qm\x1b\\",
            "\x1bP+q544e\x1b\\",
            "\x1b[14t",
            "\x1bZ",
            "\x05",
            "\x1b[3\x1b[6n",
            "\x07",
            "\x1b[?u",
        ] {
            let told = retell(format!("a{question}é").as_bytes());
            assert_eq!(String::from_utf8_lossy(&told), "aé", "{question:?}");
        }
        for kept in [
            "\x1b[1;31mred\x1b[0m\r\n",
            "\x1b]0;why?\x07",
            "\x1b[2 q",
            "\x1b[8;24;80t",
            "\x1b[u",
            "\x1b[",
            "\x1b[>4;1m",
        ] {
            assert_eq!(retell(kept.as_bytes()), kept.as_bytes(), "{kept:?}");
        }
    }
}
