//! The command line, as clap reads it; nothing here does anything.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs AI-generated code in sandboxes: the whole platform in one file.
#[derive(Debug, Parser)]
#[command(name = "daytona", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the platform: API, engine, runner and proxy in one process.
    ///
    /// `daytona server --help` lists every setting.
    #[command(disable_help_flag = true)]
    Server {
        /// Settings, such as `--port 3000 --public-url https://sandboxes.example.com`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        settings: Vec<String>,
    },
    /// Show how settings resolve, and document them.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Manage the images that sandboxes start from.
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// Tell what this host can and cannot enforce, and what to do about it.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Flags of `daytona server`, of which `--data-dir` counts here.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        settings: Vec<String>,
    },
    /// Make this host trust the certificates that the server makes for itself.
    ///
    /// Clients that insist on TLS, such as the official Python client when it uploads files for a build, take them then.
    Trust {
        /// Print the authority's certificate instead, to be trusted elsewhere.
        #[arg(long, conflicts_with = "remove")]
        print: bool,
        /// Trust it no more.
        #[arg(long)]
        remove: bool,
        /// A copy of the authority's certificate, on a host without the server.
        #[arg(long)]
        certificate: Option<PathBuf>,
        /// Flags of `daytona server`, of which `--data-dir` counts here.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        settings: Vec<String>,
    },
    /// Print the `OpenAPI` document of the control plane.
    Openapi,
    /// Clone processes for the server (started by it, not by people).
    #[command(hide = true)]
    Spawner,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting with who said it; secrets are redacted.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Flags of `daytona server` to resolve with.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        settings: Vec<String>,
    },
    /// Print the reference page of all settings.
    Reference,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Unpack a tar archive of a root file system as an image.
    Import {
        /// The server's data directory.
        #[arg(long)]
        data_dir: PathBuf,
        /// The name users will write.
        #[arg(long)]
        name: String,
        /// Who runs commands; root when not said.
        #[arg(long, default_value = "")]
        user: String,
        /// Where commands run; the user's home when not said.
        #[arg(long, default_value = "")]
        workdir: String,
        /// A variable for every command, as NAME=VALUE; may be repeated.
        #[arg(long)]
        env: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The archive.
        archive: PathBuf,
    },
    /// List images.
    List {
        /// The server's data directory.
        #[arg(long)]
        data_dir: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
