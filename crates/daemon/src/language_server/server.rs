//! One language server of one project: which documents it knows, and what it is asked.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daytona_wire::toolbox::language_server::{CompletionContext, CompletionList, LspPosition, LspSymbol};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::DaemonError;
use crate::execution::Executor;
use crate::file::blocking;
use crate::language_server::connection::{ANSWER_WITHIN, Connection, Ends};
use crate::language_server::document;
use crate::language_server::language::Language;
use crate::language_server::protocol::{Introduction, completions, introduction, symbols};
use crate::program::Launch;

/// How long a server may take until it is ready: it may have to read a lot on a slow machine.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long a server may take to end when it is asked to; it is killed then.
const END_WITHIN: Duration = Duration::from_secs(2);
/// How many documents a client may keep open.
const KEPT_DOCUMENTS: usize = 256;
/// How many documents stay open that were opened only to answer a question.
const BORROWED_DOCUMENTS: usize = 32;

/// A language server that is ready.
#[derive(Debug)]
pub struct Server {
    language: Language,
    project: PathBuf,
    connection: Connection,
    searches_projects: bool,
    documents: Mutex<Documents>,
}

/// The documents that the server knows, by URI.
#[derive(Debug, Default)]
struct Documents {
    open: HashMap<String, Document>,
    uses: u64,
}

#[derive(Debug)]
struct Document {
    version: i32,
    contents: u64,
    is_kept: bool,
    last_use: u64,
}

/// What a search through a project found.
#[derive(Debug)]
pub struct FoundSymbols {
    /// The symbols, document by document.
    pub results: Vec<LspSymbol>,
    /// Whether documents were left out.
    pub is_cut_short: bool,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub async fn start(
        executor: &Arc<Executor>,
        launch: &Launch,
        language: Language,
        project: PathBuf,
    ) -> Result<Self, DaemonError> {
        let (uri, path) = (document::uri(&project), project.to_string_lossy().into_owned());
        let name = project.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy());
        let folders = json!([{ "uri": uri, "name": name }]);
        let connection = spawn(executor, launch, language.program(), folders.clone())?;
        let ready = connection.ask("initialize", introduction(&folders, &uri, &path), READY_WITHIN).await;
        let ready = ready.map_err(|error| DaemonError::LanguageServerStart {
            server: language.program(),
            source: Box::new(error),
        })?;
        let about: Introduction =
            parse(language, "initialize", ready, |text| serde_json::from_str(text)).await?;
        connection.tell("initialized", json!({})).await?;
        let searches_projects = about.searches_projects();
        Ok(Self { language, project, connection, searches_projects, documents: Mutex::default() })
    }

    /// Returns whether it has ended.
    pub fn is_over(&self) -> bool {
        self.connection.is_over()
    }

    /// Asks it to end, waits a moment, and kills what is left.
    pub async fn end(mut self) {
        if self.connection.ask("shutdown", Value::Null, END_WITHIN).await.is_ok()
            && self.connection.tell("exit", Value::Null).await.is_ok()
        {
            self.connection.wait(END_WITHIN).await;
        }
        self.kill();
    }

    /// Kills it.
    pub fn kill(&self) {
        self.connection.end("it was stopped");
    }

    /// Opens a document until it is closed; one that is open already is brought up to date.
    pub async fn open(&self, candidates: Vec<PathBuf>) -> Result<(), DaemonError> {
        self.show(candidates, true).await.map(drop)
    }

    /// Closes a document; one that is not open is fine.
    pub async fn close(&self, candidates: &[PathBuf]) -> Result<(), DaemonError> {
        if self.is_over() {
            // Anything that is told says why.
            return self.connection.tell("$/setTrace", json!({ "value": "off" })).await;
        }
        let mut documents = self.documents.lock().await;
        for uri in candidates.iter().map(|path| document::uri(path)) {
            self.forget(&mut documents, &uri).await?;
        }
        Ok(())
    }

    /// Returns what could be written at a place in a document.
    pub async fn completions(
        &self,
        candidates: Vec<PathBuf>,
        position: LspPosition,
        context: Option<CompletionContext>,
    ) -> Result<CompletionList, DaemonError> {
        const METHOD: &str = "textDocument/completion";
        let uri = self.show(candidates, false).await?;
        let mut params = json!({ "textDocument": { "uri": uri }, "position": position });
        if let (Some(context), Some(params)) = (context, params.as_object_mut()) {
            params.insert("context".to_owned(), json!(context));
        }
        let answer = self.connection.ask(METHOD, params, ANSWER_WITHIN).await?;
        parse(self.language, METHOD, answer, completions).await
    }

    /// Returns everything that has a name in a document.
    pub async fn document_symbols(&self, candidates: Vec<PathBuf>) -> Result<Vec<LspSymbol>, DaemonError> {
        const METHOD: &str = "textDocument/documentSymbol";
        let uri = self.show(candidates, false).await?;
        let params = json!({ "textDocument": { "uri": uri } });
        let answer = self.connection.ask(METHOD, params, ANSWER_WITHIN).await?;
        parse(self.language, METHOD, answer, move |text| symbols(text, &uri)).await
    }

    /// Returns what has a name like this anywhere in the project.
    pub async fn workspace_symbols(&self, query: &str) -> Result<FoundSymbols, DaemonError> {
        const METHOD: &str = "workspace/symbol";
        if !self.searches_projects {
            return self.search(query).await;
        }
        if self.documents.lock().await.open.is_empty() {
            // Without any document some servers know no project.
            let (first, _) = self.project_documents().await?;
            if let Some(first) = first.into_iter().next() {
                self.show(vec![first], false).await?;
            }
        }
        let answer = self.connection.ask(METHOD, json!({ "query": query }), ANSWER_WITHIN).await?;
        let results = parse(self.language, METHOD, answer, |text| symbols(text, "")).await?;
        Ok(FoundSymbols { results, is_cut_short: false })
    }

    /// Searches document by document, for servers that cannot search a project, such as `pylsp`.
    async fn search(&self, query: &str) -> Result<FoundSymbols, DaemonError> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let query = query.to_lowercase();
        let (documents, mut is_cut_short) = self.project_documents().await?;
        let mut results = Vec::new();
        for path in documents {
            if Instant::now() > deadline {
                is_cut_short = true;
                break;
            }
            match self.document_symbols(vec![path]).await {
                Ok(symbols) => {
                    results.extend(
                        symbols.into_iter().filter(|symbol| symbol.name.to_lowercase().contains(&query)),
                    );
                }
                Err(
                    error @ (DaemonError::LanguageServerEnded { .. }
                    | DaemonError::LanguageServerTimeout { .. }),
                ) => {
                    return Err(error);
                }
                // It vanished, is too long, or has a text that the server does not understand.
                Err(_) => is_cut_short = true,
            }
        }
        Ok(FoundSymbols { results, is_cut_short })
    }

    async fn project_documents(&self) -> Result<(Vec<PathBuf>, bool), DaemonError> {
        let (project, language) = (self.project.clone(), self.language);
        blocking(move || Ok(document::of_project(&project, language))).await
    }

    /// Makes the server know a document as it is now, and returns its URI.
    ///
    /// Programs change files without telling anybody, so each question about a document brings it up to date.
    async fn show(&self, candidates: Vec<PathBuf>, is_kept: bool) -> Result<String, DaemonError> {
        let (path, text) = blocking(move || document::read(&candidates)).await?;
        let uri = document::uri(&path);
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let contents = hasher.finish();
        // Held while messages are queued, so that they are in the order of the changes.
        let mut documents = self.documents.lock().await;
        documents.uses += 1;
        let last_use = documents.uses;
        if is_kept && documents.open.values().filter(|document| document.is_kept).count() >= KEPT_DOCUMENTS {
            let what = format!("{KEPT_DOCUMENTS} documents are open; close some with /lsp/did-close first");
            return Err(DaemonError::LanguageServerLimit { what });
        }
        if let Some(known) = documents.open.get_mut(&uri) {
            if known.contents != contents {
                let params = json!({
                    "textDocument": { "uri": uri, "version": known.version + 1 },
                    "contentChanges": [{ "text": text }],
                });
                self.connection.tell("textDocument/didChange", params).await?;
                (known.version, known.contents) = (known.version + 1, contents);
            }
            known.is_kept |= is_kept;
            known.last_use = last_use;
        } else {
            self.make_room(&mut documents).await?;
            let language = self.language.of_document(&path).unwrap_or(self.language.id());
            let document = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
            self.connection.tell("textDocument/didOpen", json!({ "textDocument": document })).await?;
            documents.open.insert(uri.clone(), Document { version: 1, contents, is_kept, last_use });
        }
        Ok(uri)
    }

    /// Closes the document that was not used for the longest time, if too many are borrowed.
    async fn make_room(&self, documents: &mut Documents) -> Result<(), DaemonError> {
        let borrowed = || documents.open.iter().filter(|(_, document)| !document.is_kept);
        if borrowed().count() >= BORROWED_DOCUMENTS {
            let oldest = borrowed().min_by_key(|(_, document)| document.last_use);
            if let Some(uri) = oldest.map(|(uri, _)| uri.clone()) {
                self.forget(documents, &uri).await?;
            }
        }
        Ok(())
    }

    async fn forget(&self, documents: &mut Documents, uri: &str) -> Result<(), DaemonError> {
        if documents.open.contains_key(uri) {
            let params = json!({ "textDocument": { "uri": uri } });
            self.connection.tell("textDocument/didClose", params).await?;
            documents.open.remove(uri);
        }
        Ok(())
    }
}

/// Starts the program with pipes to all its streams.
fn spawn(
    executor: &Arc<Executor>,
    launch: &Launch,
    name: &'static str,
    folders: Value,
) -> Result<Connection, DaemonError> {
    let failed = |source: std::io::Error| DaemonError::Execution { step: "open a pipe", source };
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()));
    let (its_input, input): (OwnedFd, OwnedFd) = pipe()?;
    let (output, its_output) = pipe()?;
    let (complaints, its_complaints) = pipe()?;
    let descriptors = [its_input.as_fd(), its_output.as_fd(), its_complaints.as_fd()];
    let mut child = executor.launch(launch, descriptors, false)?;
    let ends = Ends {
        input: Sender::from_owned_fd(input).map_err(failed)?,
        output: Receiver::from_owned_fd(output).map_err(failed)?,
        complaints: Receiver::from_owned_fd(complaints).map_err(failed)?,
        exit: async move { child.wait().await },
    };
    Ok(Connection::begin(name, ends, folders))
}

/// Reads an answer on a thread of its own: a long one takes a while.
async fn parse<T: Send + 'static>(
    language: Language,
    method: &'static str,
    answer: Box<RawValue>,
    read: impl FnOnce(&str) -> Result<T, serde_json::Error> + Send + 'static,
) -> Result<T, DaemonError> {
    let server = language.program();
    let failed = move |source| DaemonError::LanguageServerAnswer { server, method, source };
    blocking(move || read(answer.get()).map_err(failed)).await
}

/// Fails unless a project is a directory that the user may enter.
pub fn check_project(project: &Path) -> Result<(), DaemonError> {
    const ACTION: &str = "start a language server in";
    let listed = std::fs::read_dir(project).map_err(|error| DaemonError::file(ACTION, project, error));
    listed.map(drop)
}
