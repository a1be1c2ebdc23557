//! The sandbox's own program, shown as the one command of a session that is always there.

use std::sync::{Arc, OnceLock};

use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use crate::error::DaemonError;
use crate::execution::Executor;
use crate::file::blocking;
use crate::program::Launch;
use crate::session::collect::Outputs;
use crate::session::command::Command;
use crate::session::stock::Stock;

/// The name of its session.
pub const SESSION: &str = "entrypoint";
/// The name of its command.
pub const COMMAND: &str = "entrypoint_command";

/// The program, if there is one.
#[derive(Debug, Default)]
pub struct Entrypoint(OnceLock<Arc<Command>>);

impl Entrypoint {
    /// Returns it.
    pub fn command(&self) -> Option<Arc<Command>> {
        self.0.get().cloned()
    }

    /// Returns it, or one that has ended without a word where there is none.
    pub async fn command_or_nothing(&self) -> Arc<Command> {
        if let Some(command) = self.command() {
            return command;
        }
        let nothing = Arc::new(Command::new(COMMAND.to_owned(), "", false, false, &Arc::default()));
        nothing.end(0).await;
        nothing
    }

    /// Starts it; one that cannot be started says so in its log.
    pub async fn start(
        &self,
        executor: &Arc<Executor>,
        launch: Launch,
        stock: &Arc<Stock>,
    ) -> Result<(), DaemonError> {
        let command = Arc::new(Command::new(COMMAND.to_owned(), &launch.title, false, false, stock));
        let command = Arc::clone(self.0.get_or_init(|| command));
        let failed = |source| DaemonError::Execution { step: "open a pipe", source };
        // As the user, who may then open /dev/stdout as well (pipe(7), proc(5)).
        let (null, [output, errors]) = blocking(move || {
            let null = std::fs::File::open("/dev/null").map_err(failed)?;
            Ok((null, [std::io::pipe().map_err(failed)?, std::io::pipe().map_err(failed)?]))
        })
        .await?;
        let ((output, output_writer), (errors, errors_writer)) = (output, errors);
        let descriptors = [null.into(), output_writer.into(), errors_writer.into()];
        let [null, output_writer, errors_writer]: &[std::os::fd::OwnedFd; 3] = &descriptors;
        let descriptors = [null, output_writer, errors_writer].map(std::os::fd::AsFd::as_fd);
        let mut child = match executor.launch(&launch, descriptors, false) {
            Ok(child) => child,
            Err(error) => {
                command.fail(&error.message()).await;
                return Ok(());
            }
        };
        let receiver = |pipe: std::io::PipeReader| pipe::Receiver::from_owned_fd(pipe.into()).map_err(failed);
        let outputs = Outputs::new(Arc::clone(&command), [receiver(output)?, receiver(errors)?]);
        command.begin(None).await;
        let (end, ended) = oneshot::channel();
        // It is never gone: the sandbox ends with it.
        let is_gone = watch::Sender::new(false);
        let stock = Arc::clone(stock);
        tokio::spawn(async move {
            outputs.collect(ended, stock, is_gone.subscribe()).await;
            drop(is_gone);
        });
        tokio::spawn(async move {
            let exit_code = child.wait().await;
            let _ = end.send(exit_code);
            // What it left behind are the sandbox's services.
            child.leave();
        });
        Ok(())
    }
}
