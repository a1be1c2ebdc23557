//! Sessions: shells that live on between commands.
