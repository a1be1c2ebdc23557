//! The machine's clock (adjtimex(2)).

/// Tells whether something keeps the clock in step with the world's; `None` when the kernel does not say.
pub fn is_synchronized() -> Option<bool> {
    // SAFETY: `timex` is plain data for which all zeros is a valid value, and says to change nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to `state`, which lives until the call returns.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    match result {
        -1 => None,
        libc::TIME_ERROR => Some(false),
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_says_something() {
        assert!(super::is_synchronized().is_some());
    }
}
