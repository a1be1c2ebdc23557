//! Makes the system calls that its standard input names, as hostile code would: raw, each line in a process of its own.
//!
//! Tests build it with `rustc` alone and run it inside a sandbox. A line is `name: call ; call ; …`, a call is a table
//! (`64`, `x32` or `32`), a number and up to six operands: a number, `@text` for a pointer to that text, `&16` for a
//! pointer to 16 zero bytes, `%1,2` for a pointer to these 32-bit words, `-` for all ones, `$0` for the result of the
//! first call of the line. The answer to each line is its name and the kernel's answers, negative ones being errors, or
//! how the process ended.

use std::arch::asm;
use std::io::{BufRead as _, Write as _};

const FORK: u64 = 57;
const EXIT_GROUP: u64 = 231;
const WAIT4: u64 = 61;
const ALARM: u64 = 37;
const WRITE: u64 = 1;
const PIPE: u64 = 22;
const READ: u64 = 0;
const CLOSE: u64 = 3;
/// Seconds that one line may take.
const PATIENCE: u64 = 5;

/// Makes a call of the 64-bit or the x32 table.
fn call_64(number: u64, operands: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = operands;
    let result: i64;
    // SAFETY: the program exists to make arbitrary calls; what they do to this process is its tests' business.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// Makes a call of the 32-bit table; only operands that fit are passed.
fn call_32(number: u64, operands: [u64; 6]) -> i64 {
    let [a, b, c, ..] = operands;
    let mut result = number;
    // SAFETY: as above; `rbx` is put back, because the compiler keeps it for itself.
    unsafe {
        asm!("xchg rbx, {a}", "int 0x80", "xchg rbx, {a}", a = inout(reg) a => _, inout("rax") result,
             in("rcx") b, in("rdx") c);
    }
    i64::from(result as u32 as i32)
}

/// Turns one operand's text into its value. What it points to is never freed.
fn operand(word: &str, results: &[i64]) -> u64 {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.parse::<u64>().unwrap(),
    };
    match word.as_bytes()[0] {
        b'@' => format!("{}\0", &word[1..]).leak().as_ptr() as u64,
        b'&' => vec![0u8; number(&word[1..]) as usize].leak().as_ptr() as u64,
        b'%' => word[1..].split(',').map(|part| number(part) as u32).collect::<Vec<_>>().leak().as_ptr() as u64,
        b'$' => results[number(&word[1..]) as usize] as u64,
        b'-' => u64::MAX,
        _ => number(word),
    }
}

/// Makes the calls of one line and writes the answers.
fn line(calls: &str) -> String {
    let mut results = Vec::new();
    for call in calls.split(" ; ") {
        let mut words = call.split_whitespace();
        let table = words.next().unwrap();
        let number = words.next().unwrap().parse::<u64>().unwrap();
        let mut operands = [0; 6];
        for (slot, word) in operands.iter_mut().zip(words) {
            *slot = operand(word, &results);
        }
        results.push(match table {
            "64" => call_64(number, operands),
            "x32" => call_64(number | 0x4000_0000, operands),
            _ => call_32(number, operands),
        });
    }
    results.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

fn main() {
    let lines: Vec<String> = std::io::stdin().lock().lines().map(Result::unwrap).collect();
    let mut out = std::io::stdout().lock();
    for text in lines.iter().filter(|text| !text.is_empty()) {
        let (name, calls) = text.split_once(": ").unwrap();
        let mut ends = [0u32; 2];
        assert_eq!(call_64(PIPE, [ends.as_mut_ptr() as u64, 0, 0, 0, 0, 0]), 0);
        let [reader, writer] = ends.map(u64::from);
        let child = call_64(FORK, [0; 6]);
        if child == 0 {
            call_64(ALARM, [PATIENCE, 0, 0, 0, 0, 0]);
            let answer = line(calls);
            call_64(WRITE, [writer, answer.as_ptr() as u64, answer.len() as u64, 0, 0, 0]);
            call_64(EXIT_GROUP, [0; 6]);
        }
        let mut status = 0u32;
        call_64(WAIT4, [child as u64, &raw mut status as u64, 0, 0, 0, 0]);
        call_64(CLOSE, [writer, 0, 0, 0, 0, 0]);
        let mut buffer = [0u8; 512];
        let length = call_64(READ, [reader, buffer.as_mut_ptr() as u64, 512, 0, 0, 0]);
        call_64(CLOSE, [reader, 0, 0, 0, 0, 0]);
        let answer = std::str::from_utf8(&buffer[..usize::try_from(length).unwrap_or(0)]).unwrap();
        let ended = if status & 0x7f != 0 { format!("signal {}", status & 0x7f) } else { answer.to_owned() };
        writeln!(out, "{name} {ended}").unwrap();
    }
}
