//! What passes between the daemon and a language server: JSON-RPC 2.0, and the few shapes of LSP that are used here.

use std::fmt::{self, Formatter};

use daytona_wire::toolbox::language_server::{
    CompletionItem, CompletionList, LspLocation, LspRange, LspSymbol,
};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// More proposals than this are no use to anybody.
const PROPOSALS: usize = 10_000;
/// More settings than this are not asked for at a time.
const SETTINGS: usize = 1_000;
/// The protocol's code for a method that is not there.
pub const METHOD_NOT_FOUND: i64 = -32601;

/// A message to a language server: a question when it has an id, else news.
#[derive(Debug, Serialize)]
pub struct Outgoing<P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'static str,
    params: P,
}

/// Makes a message.
pub const fn outgoing<P>(id: Option<u64>, method: &'static str, params: P) -> Outgoing<P> {
    Outgoing { jsonrpc: "2.0", id, method, params }
}

/// A message from a language server.
#[derive(Debug, Deserialize)]
pub struct Incoming {
    /// Of a question, or of the question that this answers.
    #[serde(default)]
    pub id: Option<Box<RawValue>>,
    /// What is asked or told; absent from answers.
    #[serde(default)]
    pub method: Option<String>,
    /// The details of it.
    #[serde(default)]
    pub params: Option<Box<RawValue>>,
    /// A good answer; absent when it is `null`.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// A bad answer.
    #[serde(default)]
    pub error: Option<Refusal>,
}

impl Incoming {
    /// Reads a message.
    pub fn read(message: &[u8]) -> Result<Self, serde_json::Error> {
        if message.trim_ascii_start().first() == Some(&b'[') {
            // Several at once, which LSP does not have, would be taken for the fields of one in their order.
            return Err(serde::de::Error::custom("expected an object, not a list"));
        }
        serde_json::from_slice(message)
    }
}

/// A bad answer.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Refusal {
    /// Which kind.
    #[serde(default)]
    pub code: i64,
    /// In words.
    #[serde(default)]
    pub message: String,
}

/// Answers what a language server asks its client; it may wait for ever otherwise. Nobody is there to decide anything, so
/// every setting is as the server has it and nothing is changed on its behalf.
pub fn answer(id: &RawValue, method: &str, params: Option<&RawValue>, folders: &Value) -> Value {
    // What came may be what no value holds, such as 1e999; whoever asks like that is answered without his number.
    let id: Value = serde_json::from_str(id.get()).unwrap_or_default();
    let result = match method {
        "workspace/configuration" => {
            #[derive(Default, Deserialize)]
            struct Wanted {
                items: Vec<IgnoredAny>,
            }
            let wanted: Wanted =
                params.and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default();
            Value::Array(vec![Value::Null; wanted.items.len().min(SETTINGS)])
        }
        "workspace/workspaceFolders" => folders.clone(),
        "workspace/applyEdit" => json!({ "applied": false, "failureReason": "edits are not applied here" }),
        "window/showDocument" => json!({ "success": false }),
        "client/registerCapability"
        | "client/unregisterCapability"
        | "window/workDoneProgress/create"
        | "window/showMessageRequest" => Value::Null,
        _ if method.starts_with("workspace/") && method.ends_with("/refresh") => Value::Null,
        _ => {
            let error =
                json!({ "code": METHOD_NOT_FOUND, "message": "this client does not know the method" });
            return json!({ "jsonrpc": "2.0", "id": id, "error": error });
        }
    };
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// Returns the first question to a server: about itself, for a project.
pub fn introduction(folders: &Value, uri: &str, path: &str) -> Value {
    json!({
        // Not told: the server would watch it, and the daemon's number means nothing to some of them.
        "processId": null,
        "clientInfo": { "name": "daytona", "version": env!("CARGO_PKG_VERSION") },
        "rootUri": uri,
        "rootPath": path,
        "workspaceFolders": folders,
        "capabilities": {
            "textDocument": {
                "synchronization": { "dynamicRegistration": false },
                "completion": {
                    "contextSupport": true,
                    "completionItem": {
                        "snippetSupport": false,
                        "documentationFormat": ["markdown", "plaintext"],
                    },
                },
                "documentSymbol": { "hierarchicalDocumentSymbolSupport": true },
            },
            "workspace": { "configuration": true, "workspaceFolders": true, "symbol": {} },
            "window": { "workDoneProgress": false },
        },
    })
}

/// What a server says of itself, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Introduction {
    capabilities: Capabilities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Capabilities {
    workspace_symbol_provider: Option<Value>,
}

impl Introduction {
    /// Returns whether the server can search through a whole project.
    pub fn searches_projects(&self) -> bool {
        !matches!(self.capabilities.workspace_symbol_provider, None | Some(Value::Bool(false)))
    }
}

/// Both shapes of a symbol: with a location, or with a range and symbols inside.
#[derive(Debug, Deserialize)]
struct Symbol {
    name: String,
    #[serde(default)]
    kind: i64,
    #[serde(default)]
    location: Option<LspLocation>,
    #[serde(default)]
    range: Option<LspRange>,
    #[serde(default)]
    children: Option<Vec<Symbol>>,
}

/// Reads a list of symbols of either shape; those without a location are in `document`.
pub fn symbols(answer: &str, document: &str) -> Result<Vec<LspSymbol>, serde_json::Error> {
    let mut flat = Vec::new();
    flatten(serde_json::from_str::<Option<Vec<Symbol>>>(answer)?.unwrap_or_default(), document, &mut flat);
    Ok(flat)
}

/// As deep as the parser let the answer be, which is bounded.
fn flatten(symbols: Vec<Symbol>, document: &str, flat: &mut Vec<LspSymbol>) {
    for symbol in symbols {
        let inside = || LspLocation { uri: document.to_owned(), range: symbol.range.unwrap_or_default() };
        let location = symbol.location.unwrap_or_else(inside);
        flat.push(LspSymbol { kind: symbol.kind, location, name: symbol.name });
        flatten(symbol.children.unwrap_or_default(), document, flat);
    }
}

/// Reads proposals of either shape: a list, or an object with a list in it.
pub fn completions(answer: &str) -> Result<CompletionList, serde_json::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Whole {
        is_incomplete: bool,
        items: Proposals,
    }
    let whole = if answer.trim_start().starts_with('[') {
        Whole { is_incomplete: false, items: serde_json::from_str(answer)? }
    } else {
        serde_json::from_str::<Option<Whole>>(answer)?.unwrap_or_default()
    };
    let is_incomplete = whole.is_incomplete || whole.items.is_cut_short;
    Ok(CompletionList { is_incomplete, items: whole.items.items })
}

/// The first proposals of a list.
#[derive(Default)]
struct Proposals {
    items: Vec<CompletionItem>,
    is_cut_short: bool,
}

impl<'de> Deserialize<'de> for Proposals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = Proposals;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of proposals")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Proposals, A::Error> {
                let mut first = Proposals::default();
                while first.items.len() < PROPOSALS {
                    let Some(item) = list.next_element::<Proposal>()? else { return Ok(first) };
                    first.items.push(item.into());
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    first.is_cut_short = true;
                }
                Ok(first)
            }
        }
        deserializer.deserialize_seq(First)
    }
}

/// A proposal as servers send it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proposal {
    label: String,
    #[serde(default)]
    kind: Option<i64>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    documentation: Option<Box<RawValue>>,
    #[serde(default)]
    sort_text: Option<String>,
    #[serde(default)]
    filter_text: Option<String>,
    #[serde(default)]
    insert_text: Option<String>,
}

impl From<Proposal> for CompletionItem {
    fn from(proposal: Proposal) -> Self {
        Self {
            label: proposal.label,
            kind: proposal.kind,
            detail: proposal.detail,
            documentation: proposal.documentation.and_then(|text| documentation(text.get())),
            sort_text: proposal.sort_text,
            filter_text: proposal.filter_text,
            insert_text: proposal.insert_text,
        }
    }
}

/// Reads a text, or an object with its format and the text. Not any JSON: that may take many times the memory.
fn documentation(raw: &str) -> Option<Value> {
    #[derive(Deserialize, Serialize)]
    struct Markup {
        kind: String,
        value: String,
    }
    if raw.starts_with('"') {
        serde_json::from_str::<String>(raw).ok().map(Value::String)
    } else {
        serde_json::from_str::<Markup>(raw).ok().and_then(|markup| serde_json::to_value(markup).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    #[test]
    fn whatever_a_server_asks_is_answered() {
        let folders = json!([{ "uri": "file:///p", "name": "p" }]);
        let ask = |method: &str, params: &str| answer(&raw("7"), method, Some(&raw(params)), &folders);
        let items = r#"{"items":[{"section":"a"},{}]}"#;
        assert_eq!(ask("workspace/configuration", items)["result"], json!([null, null]));
        assert_eq!(ask("workspace/configuration", "[]")["result"], json!([]));
        assert_eq!(ask("workspace/workspaceFolders", "null")["result"], folders);
        assert_eq!(ask("workspace/applyEdit", "{}")["result"]["applied"], false);
        for method in ["client/registerCapability", "workspace/codeLens/refresh", "window/showMessageRequest"]
        {
            let answer = ask(method, "{}");
            assert!(answer["result"].is_null() && answer.get("error").is_none(), "{answer}");
        }
        assert_eq!(ask("no/such", "{}")["error"]["code"], METHOD_NOT_FOUND);
        assert_eq!(answer(&raw("1e999"), "no/such", None, &folders)["id"], Value::Null);
        let text_id = answer(&raw("\"x\""), "window/showDocument", None, &folders);
        assert_eq!((&text_id["id"], &text_id["result"]["success"]), (&json!("x"), &json!(false)));
    }

    #[test]
    fn both_shapes_of_symbols_become_one() {
        let range = r#"{"start":{"line":1,"character":2},"end":{"line":3,"character":4}}"#;
        let tree = format!(
            r#"[{{"name":"A","kind":5,"range":{range},"selectionRange":{range},"children":[
                {{"name":"b","kind":6,"range":{range},"children":null}}]}}]"#
        );
        let found = symbols(&tree, "file:///p").expect("tree");
        let told: Vec<_> = found.iter().map(|symbol| (symbol.name.as_str(), symbol.kind)).collect();
        assert_eq!(told, [("A", 5), ("b", 6)]);
        assert!(found.iter().all(|symbol| symbol.location.uri == "file:///p"));
        assert_eq!((found[1].location.range.start.line, found[1].location.range.end.character), (1, 4));
        let list = format!(
            r#"[{{"name":"c","kind":12,"containerName":null,"location":{{"uri":"file:///q","range":{range}}}}}]"#
        );
        let found = symbols(&list, "file:///p").expect("list");
        assert_eq!((found[0].name.as_str(), found[0].location.uri.as_str()), ("c", "file:///q"));
        assert!(symbols("null", "").expect("nothing").is_empty());
        for bad in ["{}", "1", r#"[{"kind":1}]"#, &"[{\"name\":\"\",\"children\":".repeat(500)] {
            symbols(bad, "").expect_err(bad);
        }
    }

    #[test]
    fn both_shapes_of_proposals_become_one() {
        let list = completions(
            r#"[{"label":"a","kind":3,"detail":null,"documentation":{"kind":"markdown","value":"**x**"},"data":{}},
                {"label":"b","documentation":"text","insertText":"b()"},{"label":"c","documentation":[[1]]}]"#,
        )
        .expect("list");
        assert!(!list.is_incomplete);
        assert_eq!(list.items[0].documentation, Some(json!({ "kind": "markdown", "value": "**x**" })));
        assert_eq!(list.items[1].documentation, Some(json!("text")));
        assert_eq!(
            (list.items[1].insert_text.as_deref(), &list.items[2].documentation),
            (Some("b()"), &None)
        );
        assert!(completions(r#"{"isIncomplete":true,"items":[]}"#).expect("object").is_incomplete);
        assert_eq!(completions("null").expect("nothing"), CompletionList::default());
        completions(r#"{"items":3}"#).expect_err("no list");
        let many = format!("[{}{{\"label\":\"\"}}]", "{\"label\":\"\"},".repeat(PROPOSALS));
        let many = completions(&many).expect("many");
        assert_eq!((many.items.len(), many.is_incomplete), (PROPOSALS, true));
    }

    #[test]
    fn a_server_may_say_in_two_ways_that_it_searches_projects() {
        let says = |text: &str| serde_json::from_str::<Introduction>(text).expect(text).searches_projects();
        assert!(says(r#"{"capabilities":{"workspaceSymbolProvider":true}}"#));
        assert!(says(r#"{"capabilities":{"workspaceSymbolProvider":{}}}"#));
        assert!(!says(r#"{"capabilities":{"workspaceSymbolProvider":false}}"#) && !says("{}"));
    }
}
