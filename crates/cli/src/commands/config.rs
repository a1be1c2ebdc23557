//! `daytona config`: how settings resolve.

use service::flags::Flags;
use service::{config, environment, reference, show};

use crate::args::ConfigCommand;
use crate::output;

pub(crate) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show { json, mut settings } => {
            // Behind a flag of the server, `--json` still means ours.
            let asked = settings.iter().position(|argument| argument == "--json");
            let json = json || asked.map(|at| settings.remove(at)).is_some();
            let config = config::load(&Flags::parse(settings)?, &environment::of_process())?;
            if json {
                output::data(&serde_json::to_string_pretty(&show::json(&config.values))?);
            } else {
                output::data(&show::text(&config.values));
            }
        }
        ConfigCommand::Reference => output::data(&reference::markdown()),
    }
    Ok(())
}
