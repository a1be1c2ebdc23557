//! Git: every operation runs in a process of its own, as the user.
