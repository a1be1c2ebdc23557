//! Terminals (the contract calls them PTYs).
