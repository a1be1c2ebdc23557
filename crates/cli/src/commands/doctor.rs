//! `daytona doctor`: what this host can and cannot enforce.

use anyhow::bail;
use runner::doctor::{self, Finding, Mark};
use serde_json::json;
use service::flags::Flags;
use service::{config, environment};

use crate::output;

pub(crate) fn run(json: bool, mut settings: Vec<String>) -> anyhow::Result<()> {
    // Behind a flag of the server, `--json` still means ours.
    let asked = settings.iter().position(|argument| argument == "--json");
    let json = json || asked.map(|at| settings.remove(at)).is_some();
    let config = config::load(&Flags::parse(settings)?, &environment::of_process())?;
    let findings = doctor::examine(&config.settings.data_dir);
    let count = |mark| findings.iter().filter(|finding| finding.mark == mark).count();
    let (missing, weak) = (count(Mark::Missing), count(Mark::Weak));
    if json {
        let shown: Vec<_> = findings.iter().map(shown).collect();
        output::data(&serde_json::to_string_pretty(&json!({ "fit": missing == 0, "findings": shown }))?);
    } else {
        output::data(&text(&findings));
        let good = count(Mark::Good);
        output::data(&format!("\n{good} good, {weak} could be better, {missing} missing"));
    }
    if missing > 0 {
        bail!("this host cannot run sandboxes as promised\nhint: each ✗ above has its remedy below it");
    }
    Ok(())
}

fn shown(finding: &Finding) -> serde_json::Value {
    json!({
        "name": finding.name,
        "mark": finding.mark.as_str(),
        "found": finding.found,
        "remedy": finding.remedy,
    })
}

/// A line for each finding, and below it what to do.
fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let Finding { name, mark, found, remedy } = finding;
        lines.push(format!("{} {name:width$}  {found}", mark.sign()));
        if !remedy.is_empty() {
            lines.push(format!("  {:width$}  → {remedy}", ""));
        }
    }
    lines.join("\n")
}
