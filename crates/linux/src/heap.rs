//! How the C library's allocator keeps memory (mallopt(3)).

use std::ffi::c_int;

/// Keeps up to `bytes` of freed memory for the next use, in one heap for all threads.
///
/// Without it a program that moves large pieces gives each back to the kernel and asks for it anew, and the kernel
/// clears it page by page: in a virtual machine that takes longer than the copy itself. One heap, because each further
/// one would keep as much. Best effort: an allocator that knows nothing of it works as before.
pub fn keep_freed(bytes: c_int) {
    for (parameter, value) in
        [(libc::M_TRIM_THRESHOLD, bytes), (libc::M_MMAP_THRESHOLD, bytes), (libc::M_ARENA_MAX, 1)]
    {
        // SAFETY: mallopt takes two integers and may be called at any time.
        let _ = unsafe { libc::mallopt(parameter, value) };
    }
}
