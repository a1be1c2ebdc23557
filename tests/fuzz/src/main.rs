//! The program that finds new inputs, started by `cargo x fuzz`, which instruments it.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::chosen(bytes));
