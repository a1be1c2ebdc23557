//! The code interpreter: contexts that keep their state.
