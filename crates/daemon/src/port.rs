//! Which ports are listened on, and the way to them.
