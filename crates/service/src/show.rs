//! What `daytona config show` prints: every setting, its value and who said it, secrets redacted.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::env;
use crate::secret::REDACTED;
use crate::setting::Setting;
use crate::values::Values;

/// Shows the settings as aligned lines.
pub fn text(values: &Values) -> String {
    let widest = env::SETTINGS.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let mut lines = String::new();
    for setting in env::SETTINGS {
        let shown = shown(setting, values).unwrap_or("(unset)");
        let _ = writeln!(lines, "{:widest$}  {shown}  ({})", setting.name, values.origin(setting));
    }
    lines
}

/// Shows the settings as `{"<name>": {"value", "source"}}`; an unset value is `null`.
pub fn json(values: &Values) -> Value {
    let entry = |setting: &&Setting| {
        let entry = json!({ "value": shown(setting, values), "source": values.origin(setting).to_string() });
        (setting.name.to_owned(), entry)
    };
    Value::Object(env::SETTINGS.iter().map(entry).collect::<Map<_, _>>())
}

fn shown<'value>(setting: &Setting, values: &'value Values) -> Option<&'value str> {
    let text = values.text(setting)?;
    Some(if setting.secret { REDACTED } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::flags::Flags;

    fn resolved() -> Values {
        let environment = Environment::from([("ADMIN_API_KEY".to_owned(), "hunter2".to_owned())]);
        let flags = Flags::parse(["--port=3999".to_owned()]).expect("flags parse");
        crate::config::resolve(&flags, &environment, None).expect("resolves").values
    }

    #[test]
    fn lines_name_value_and_source() {
        let text = text(&resolved());
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        for line in [
            ["port", "3999", "(flag)"].as_slice(),
            &["admin_api_key", "(redacted)", "(environment", "ADMIN_API_KEY)"],
            &["oidc_client_id", "(unset)", "(default)"],
            &["public_url", "http://localhost:3999", "(derived)"],
        ] {
            assert!(lines.iter().any(|found| found == line), "{line:?}\n{text}");
        }
        assert!(!text.contains("hunter2"));
        assert_eq!(text.lines().count(), env::SETTINGS.len());
    }

    #[test]
    fn json_holds_the_same() {
        let json = json(&resolved());
        assert_eq!(json["port"], json!({ "value": "3999", "source": "flag" }));
        assert_eq!(json["oidc_client_id"]["value"], Value::Null);
        assert!(!json.to_string().contains("hunter2"));
    }
}
