//! Settings from the command line.

use std::collections::BTreeMap;

use crate::env;
use crate::error::ServiceError;
use crate::nearest::nearest;
use crate::setting::Setting;

/// What was said on the command line, by setting name.
#[derive(Debug, Clone, Default)]
pub struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// Reads `--name value` and `--name=value`.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, ServiceError> {
        let mut flags = Self::default();
        let mut rest = arguments.into_iter().peekable();
        while let Some(argument) = rest.next() {
            let (flag, inline) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let setting = by_flag(flag)?;
            let value = match inline {
                Some(value) => value,
                None => rest
                    .next_if(|next| !next.starts_with("--"))
                    .ok_or_else(|| ServiceError::MissingValue { flag: flag.to_owned() })?,
            };
            flags.set(setting, value)?;
        }
        Ok(flags)
    }

    /// Sets one flag, as another parser read it.
    pub fn set(&mut self, setting: &'static Setting, value: String) -> Result<(), ServiceError> {
        match self.0.insert(setting.name, value) {
            None => Ok(()),
            Some(_) => Err(ServiceError::RepeatedFlag { flag: setting.flag() }),
        }
    }

    /// Says one setting anew, as when the caller has found a free port for `--port 0`.
    pub fn replace(&mut self, setting: &'static Setting, value: String) {
        self.0.insert(setting.name, value);
    }

    /// Returns what was said of a setting.
    pub fn get(&self, setting: &Setting) -> Option<&str> {
        self.0.get(setting.name).map(String::as_str)
    }
}

fn by_flag(flag: &str) -> Result<&'static Setting, ServiceError> {
    let Some(word) = flag.strip_prefix("--") else {
        return Err(ServiceError::UnexpectedArgument { argument: flag.to_owned() });
    };
    if let Some(setting) = env::SETTINGS.iter().find(|setting| setting.flag() == flag) {
        return Ok(setting);
    }
    let known: Vec<String> = env::SETTINGS.iter().map(|setting| setting.name.replace('_', "-")).collect();
    let nearest = nearest(word, known.iter().map(String::as_str)).map(|name| format!("--{name}"));
    Err(ServiceError::UnknownFlag { flag: flag.to_owned(), nearest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, ServiceError> {
        Flags::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_both_spellings() {
        let mut flags =
            parse("--port 4000 --public-url=https://d.example --log-level debug").expect("parses");
        assert_eq!(flags.get(&env::PORT), Some("4000"));
        assert_eq!(flags.get(&env::PUBLIC_URL), Some("https://d.example"));
        assert_eq!(flags.get(&env::HOST), None);
        flags.replace(&env::PORT, "4001".to_owned());
        assert_eq!(flags.get(&env::PORT), Some("4001"));
    }

    #[test]
    fn refuses_with_a_sentence() {
        for (line, sentence) in [
            ("--prot 4000", "unknown flag --prot: did you mean --port?"),
            ("--colour=red", "unknown flag --colour"),
            ("4000", "unexpected argument `4000`: settings are written --name value"),
            ("--port", "flag --port needs a value"),
            ("--port --host", "flag --port needs a value"),
            ("--port 1 --port 2", "flag --port is given twice"),
            ("--db-host x", "unknown flag --db-host"),
        ] {
            assert_eq!(parse(line).expect_err(line).to_string(), sentence);
        }
    }
}
