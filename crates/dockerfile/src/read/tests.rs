//! Flags, pairs, and texts that nobody would write.

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::evaluation::Evaluation;
use crate::plan::{Plan, Request};

#[test]
fn flags_end_where_words_begin() {
    let (flags, rest) = flags("--a=\"x y\" --b c --d", '\\');
    assert_eq!(flags, [("a".to_owned(), "\"x y\"".to_owned()), ("b".to_owned(), String::new())]);
    assert_eq!(rest, "c --d");
    assert_eq!(super::flags("-- a", '\\').1, "-- a");
}

#[test]
fn pairs_are_new_or_old() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(pairs("ENV", "a=1 b=\"2 3\"", '\\').unwrap(), [pair("a", "1"), pair("b", "\"2 3\"")]);
    assert_eq!(pairs("ENV", "a  1 2=3", '\\').unwrap(), [pair("a", "1 2=3")]);
    assert!(pairs("ENV", "a=1 b", '\\').is_err());
}

fn build(text: &str) {
    let Ok(file) = Dockerfile::parse(text) else { return };
    let Ok(plan) = Plan::new(&file, &Request::default()) else { return };
    for number in &plan.order {
        let mut evaluation = Evaluation::new(&plan, *number, file.escape, Config::default());
        for instruction in &file.stages[*number].instructions {
            if evaluation.step(instruction).is_err() {
                return;
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        lines in prop::collection::vec(
            "(FROM|RUN|COPY|ADD|ENV|ARG|WORKDIR|LABEL|SHELL|EXPOSE|#|)[ \\t](--[a-z]{0,5}=)?[<A-Ea-e0-9 $:{}\\[\\]\"'\\\\,=./é-]{0,24}(\r|\\\\)?",
            0..12,
        ),
    ) {
        build(&format!("FROM a\n{}", lines.join("\n")));
        build(&lines.join("\n"));
    }

    #[test]
    fn any_bytes_are_read_or_refused(text in "\\PC{0,200}") {
        build(&text);
    }
}
