//! Language servers (LSP).
