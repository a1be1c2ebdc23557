//! `daytona server`: starts every role and serves until told to end.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use server::Server;
use server::bootstrap::{AdminKey, KEY_FILE};
use service::config::{self, Config};
use service::flags::Flags;
use service::{env, environment};

use crate::output;

/// Tells programs where a running server is.
const STATE_FILE: &str = "server.json";
/// How long threads may take to end after everything was closed.
const LAST_GRACE: Duration = Duration::from_secs(5);

pub(crate) fn run(arguments: Vec<String>) -> anyhow::Result<()> {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        output::data(&format!(
            "Start the platform.\n\nUsage: daytona server [SETTINGS]\n\n{}",
            service::reference::help()
        ));
        return Ok(());
    }
    let (config, listener) = resolve(arguments)?;
    service::telemetry::start(config.settings.log)?;
    // This very program, even when the file it came from was replaced meanwhile.
    let spawner = vec!["/proc/self/exe".to_owned(), "spawner".to_owned()];
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let outcome = runtime.block_on(serve(&config, listener, spawner));
    // Everything is closed by now; what still waits for something is not worth waiting for.
    runtime.shutdown_timeout(LAST_GRACE);
    outcome
}

/// Resolves the settings. Port 0 asks for any free port, which is taken here, since the public URL names it.
fn resolve(arguments: Vec<String>) -> anyhow::Result<(Config, Option<TcpListener>)> {
    let environment = environment::of_process();
    let mut flags = Flags::parse(arguments)?;
    let config = config::load(&flags, &environment)?;
    if config.settings.listen.api.port() != 0 {
        return Ok((config, None));
    }
    let listener = TcpListener::bind(config.settings.listen.api).context("find a free port")?;
    let port = listener.local_addr().context("find a free port")?.port();
    flags.replace(&env::PORT, port.to_string());
    Ok((config::load(&flags, &environment)?, Some(listener)))
}

async fn serve(config: &Config, listener: Option<TcpListener>, spawner: Vec<String>) -> anyhow::Result<()> {
    let signals = service::shutdown::listen()?;
    let data_dir = &config.settings.data_dir;
    for variable in &config.deferred {
        output::note(&format!("note: {variable} is set and not used by this version"));
    }
    let server = Server::start(config, listener, spawner).await?;
    if let AdminKey::Generated(key) = &server.admin_key {
        output::note(&format!(
            "admin API key (shown once; kept in {}): {key}",
            data_dir.join(KEY_FILE).display()
        ));
    }
    let state = json!({ "url": server.url, "pid": std::process::id() });
    let path = data_dir.join(STATE_FILE);
    linux::replace::replace_soon(&path, state.to_string().as_bytes(), 0o600)
        .with_context(|| format!("write {}", path.display()))?;
    output::note(&format!("listening on {}; the API is at {}/api", server.url, server.url));
    server.run(signals).await;
    fs_err::remove_file(&path)?;
    Ok(())
}
