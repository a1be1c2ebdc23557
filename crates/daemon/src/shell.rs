//! The SSH side of a sandbox: a process of its own for each connection, as the user.
