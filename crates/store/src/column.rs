//! Values to columns and back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use types::Timestamp;
use types::network::{DomainPattern, Ipv4Network};
use types::resource::Resources;
use types::sandbox::{Backup, BackupState, Failure, Network};
use types::volume::VolumeMount;

use crate::error::StoreError;

/// Reads a column of a type that the database knows.
pub(crate) fn plain<'row, T>(row: &'row SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'row, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(StoreError::query("read a column"))
}

/// Reads an integer that must fit a narrower type.
pub(crate) fn integer<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let value: i64 = plain(row, column)?;
    T::try_from(value).map_err(|_| corrupt(column, value))
}

/// Reads an integer that may be missing and must fit a narrower type.
pub(crate) fn integer_or_none<T: TryFrom<i64>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    let value: Option<i64> = plain(row, column)?;
    value.map(|value| T::try_from(value).map_err(|_| corrupt(column, value))).transpose()
}

/// Reads a typed id that may be missing.
pub(crate) fn id_or_none<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<Option<T>, StoreError> {
    optional_word(row, column, |text| text.parse().ok())
}

/// Reads a text that may be missing and has a meaning otherwise.
pub(crate) fn optional_word<T>(
    row: &SqliteRow,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = plain(row, column)?;
    text.map(|text| parse(text).ok_or_else(|| corrupt(column, text))).transpose()
}

/// Reads a typed id.
pub(crate) fn id<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let text: &str = plain(row, column)?;
    text.parse().map_err(|_| corrupt(column, text))
}

/// Reads a word of a closed set.
pub(crate) fn word<T>(
    row: &SqliteRow,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, StoreError> {
    let text: &str = plain(row, column)?;
    parse(text).ok_or_else(|| corrupt(column, text))
}

/// Reads a map of strings kept as a JSON object.
pub(crate) fn map(row: &SqliteRow, column: &'static str) -> Result<BTreeMap<String, String>, StoreError> {
    let text: &str = plain(row, column)?;
    serde_json::from_str(text).map_err(|_| corrupt(column, text))
}

/// Writes a map of strings as a JSON object.
pub(crate) fn map_text(map: &BTreeMap<String, String>) -> String {
    let object =
        map.iter().map(|(key, value)| (key.clone(), serde_json::Value::String(value.clone()))).collect();
    serde_json::Value::Object(object).to_string()
}

/// Reads a moment.
pub(crate) fn moment(row: &SqliteRow, column: &'static str) -> Result<Timestamp, StoreError> {
    let milliseconds: i64 = plain(row, column)?;
    Timestamp::from_millisecond(milliseconds).map_err(|_| corrupt(column, milliseconds))
}

/// Reads a moment that may be missing.
pub(crate) fn moment_or_none(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let milliseconds: Option<i64> = plain(row, column)?;
    milliseconds
        .map(|value| Timestamp::from_millisecond(value).map_err(|_| corrupt(column, value)))
        .transpose()
}

/// Writes a network policy: a word, or its lists as a JSON object.
pub(crate) fn network_text(network: &Network) -> String {
    if network.block_all {
        return "block-all".to_owned();
    }
    if !network.listed() {
        return "open".to_owned();
    }
    let networks: Vec<String> = network.allow_list.iter().map(ToString::to_string).collect();
    let names: Vec<String> = network.domain_allow_list.iter().map(ToString::to_string).collect();
    serde_json::json!({ "networks": networks, "names": names }).to_string()
}

/// Reads a network policy.
pub(crate) fn network(text: &str) -> Option<Network> {
    match text {
        "block-all" => return Some(Network::blocked()),
        "open" => return Some(Network::default()),
        _ => {}
    }
    let lists: serde_json::Value = serde_json::from_str(text).ok()?;
    let list = |key: &str| lists.get(key)?.as_array()?.iter().map(serde_json::Value::as_str).collect();
    let (networks, names): (Option<Vec<&str>>, Option<Vec<&str>>) = (list("networks"), list("names"));
    let network = Network {
        block_all: false,
        allow_list: networks?.into_iter().map(Ipv4Network::parse).collect::<Option<_>>()?,
        domain_allow_list: names?.into_iter().map(DomainPattern::parse).collect::<Option<_>>()?,
    };
    network.listed().then_some(network)
}

/// Writes limits as a JSON object.
pub(crate) fn resources_text(resources: Resources) -> String {
    let Resources { cpu, gpu, memory_gib, disk_gib } = resources;
    serde_json::json!({ "cpu": cpu, "gpu": gpu, "memory_gib": memory_gib, "disk_gib": disk_gib }).to_string()
}

/// Reads limits.
pub(crate) fn resources(text: &str) -> Option<Resources> {
    let object: serde_json::Value = serde_json::from_str(text).ok()?;
    let amount = |key: &str| u32::try_from(object.get(key)?.as_u64()?).ok();
    Some(Resources {
        cpu: amount("cpu")?,
        gpu: amount("gpu")?,
        memory_gib: amount("memory_gib")?,
        disk_gib: amount("disk_gib")?,
    })
}

/// Writes texts as a JSON list.
pub(crate) fn texts_text(texts: &[String]) -> String {
    serde_json::json!(texts).to_string()
}

/// Reads texts.
pub(crate) fn texts(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// Writes mounts of volumes as a JSON list; those of sandboxes are looked through in SQL.
pub(crate) fn volumes_text(volumes: &[VolumeMount]) -> String {
    let mounts = volumes.iter().map(|mount| {
        let VolumeMount { volume_id, path, subpath, is_read_only } = mount;
        serde_json::json!({ "volume": volume_id.to_string(), "path": path, "subpath": subpath, "readOnly": is_read_only })
    });
    serde_json::Value::Array(mounts.collect()).to_string()
}

/// Reads mounts of volumes.
pub(crate) fn volumes(text: &str) -> Option<Vec<VolumeMount>> {
    let list: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    let read = |mount: &serde_json::Value| {
        Some(VolumeMount {
            volume_id: mount.get("volume")?.as_str()?.parse().ok()?,
            path: mount.get("path")?.as_str()?.to_owned(),
            subpath: mount.get("subpath")?.as_str().map(str::to_owned),
            is_read_only: mount.get("readOnly")?.as_bool()?,
        })
    };
    list.iter().map(read).collect()
}

/// Writes a failure as a JSON object.
pub(crate) fn failure_text(failure: &Failure) -> String {
    let Failure { cause, evidence, remedy } = failure;
    serde_json::json!({ "cause": cause, "evidence": evidence, "remedy": remedy }).to_string()
}

/// Reads a failure.
pub(crate) fn failure(text: &str) -> Option<Failure> {
    let object: serde_json::Value = serde_json::from_str(text).ok()?;
    let field = |key: &str| object.get(key)?.as_str().map(str::to_owned);
    Some(Failure { cause: field("cause")?, evidence: field("evidence")?, remedy: field("remedy")? })
}

/// Writes a backup as a JSON object; `None` when there is none and none is wanted.
pub(crate) fn backup_text(backup: &Backup) -> Option<String> {
    if *backup == Backup::default() {
        return None;
    }
    let Backup { state, at, object, digest, bytes } = backup;
    let at = at.map(Timestamp::as_millisecond);
    let state = state.as_str();
    let text =
        serde_json::json!({ "state": state, "at": at, "object": object, "digest": digest, "bytes": bytes });
    Some(text.to_string())
}

/// Reads a backup.
pub(crate) fn backup(text: &str) -> Option<Backup> {
    let object: serde_json::Value = serde_json::from_str(text).ok()?;
    let field = |key: &str| object.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let at = object.get("at").and_then(serde_json::Value::as_i64);
    Some(Backup {
        state: BackupState::parse(&field("state")?)?,
        at: at.map(Timestamp::from_millisecond).transpose().ok()?,
        object: field("object"),
        digest: field("digest"),
        bytes: object.get("bytes")?.as_u64()?,
    })
}

/// Names a value that no version of this program writes.
pub(crate) fn corrupt(column: &'static str, value: impl Display) -> StoreError {
    StoreError::Corrupt { column, value: format!("{value}") }
}
