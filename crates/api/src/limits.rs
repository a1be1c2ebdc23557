//! What an input may be. The contract sets no bounds on names, labels and variables; these keep one request from filling
//! the database, and are far above what any client sends.

use std::collections::BTreeMap;

use daytona_wire::api::sandbox::{CreateSandbox, ResizeSandbox, UpdateSandboxSecrets};
use types::build::BUILT;
use types::network::{DomainPattern, Ipv4Network};
use types::resource::Resources;
use types::sandbox::Intervals;
use types::snapshot::CAPTURED;

use crate::error::ApiError;
use crate::lifecycle::timer;
use crate::settings::Settings;

const NAME_CHARACTERS: usize = 255;
const USER_CHARACTERS: usize = 64;
const SNAPSHOT_BYTES: usize = 255;
/// How much of a refused snapshot's name is told back.
const SHOWN_CHARACTERS: usize = 32;
/// The longest list of networks or names, as in the contract.
const LIST_ENTRIES: usize = 10;
/// How long a signed preview holds when nothing is said, and at most, as in the contract.
const PREVIEW_SECONDS: u32 = 60;
const LONGEST_PREVIEW_SECONDS: u32 = 86_400;
const MAP_ENTRIES: usize = 1_024;
const MAP_BYTES: usize = 128 * 1_024;

/// Checks a sandbox's name: a text that is safe to show, because dashboards and mails show it.
pub(crate) fn name(name: &str) -> Result<(), ApiError> {
    if name.chars().count() > NAME_CHARACTERS {
        return Err(ApiError::invalid(format!("name must be at most {NAME_CHARACTERS} characters long")));
    }
    let lower = name.to_lowercase();
    let unsafe_parts = ["<", ">", "://", "www."];
    if name.chars().any(char::is_control) || unsafe_parts.iter().any(|part| lower.contains(part)) {
        return Err(ApiError::invalid("name must not contain control characters, HTML or URLs"));
    }
    if name.trim() != name || name.trim().is_empty() {
        return Err(ApiError::invalid("name must not be blank, nor start or end with a space"));
    }
    Ok(())
}

/// Checks the user inside: a name, a number, or either with a group after a colon.
pub(crate) fn user(user: &str) -> Result<(), ApiError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "_-.:$".contains(character);
    let fits =
        user.len() <= USER_CHARACTERS && user.chars().all(allowed) && !user.starts_with(['-', '.', ':']);
    if fits {
        Ok(())
    } else {
        Err(ApiError::invalid("user must be a user name or number inside the sandbox"))
    }
}

/// Checks a snapshot's name before anything looks for it: none that exists is longer.
pub(crate) fn snapshot(name: &str) -> Result<(), ApiError> {
    if name.len() <= SNAPSHOT_BYTES && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String =
        name.chars().filter(|character| !character.is_control()).take(SHOWN_CHARACTERS).collect();
    Err(ApiError::invalid(format!(
        "Snapshot {shown}… not found: a name has at most {SNAPSHOT_BYTES} bytes and no control characters"
    )))
}

/// Checks the beginning of a name or id that a list is filtered by: the database bounds patterns.
pub(crate) fn prefix(field: &str, text: &str) -> Result<(), ApiError> {
    if text.chars().count() <= NAME_CHARACTERS {
        Ok(())
    } else {
        Err(ApiError::invalid(format!("{field} must be at most {NAME_CHARACTERS} characters long")))
    }
}

/// Checks labels.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> Result<(), ApiError> {
    map("labels", labels)
}

/// Checks variables: what `execve(2)` can carry.
pub(crate) fn env(env: &BTreeMap<String, String>) -> Result<(), ApiError> {
    map("env", env)?;
    if env.keys().any(|key| key.contains('=')) {
        return Err(ApiError::invalid("env must not contain a variable whose name holds `=`"));
    }
    Ok(())
}

fn map(field: &str, map: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    if map.len() > MAP_ENTRIES || bytes > MAP_BYTES {
        return Err(ApiError::invalid(format!(
            "{field} must be at most {MAP_ENTRIES} entries and {MAP_BYTES} bytes together"
        )));
    }
    if map.iter().any(|(key, value)| key.is_empty() || key.contains('\0') || value.contains('\0')) {
        return Err(ApiError::invalid(format!("{field} must not contain an empty key or a NUL")));
    }
    Ok(())
}

/// Returns what a new sandbox may use: what was asked for, within the deployment's bounds, else the snapshot's.
pub(crate) fn resources(
    asked: &CreateSandbox,
    snapshot: Resources,
    settings: &Settings,
) -> Result<Resources, ApiError> {
    let most = settings.most_per_sandbox;
    Ok(Resources {
        cpu: amount("cpu", "CPU", "", asked.cpu, snapshot.cpu, most.cpu)?,
        gpu: 0,
        memory_gib: amount("memory", "Memory", "GiB", asked.memory, snapshot.memory_gib, most.memory_gib)?,
        disk_gib: amount("disk", "Disk", "GiB", asked.disk, snapshot.disk_gib, most.disk_gib)?,
    })
}

/// Returns what sandboxes of a new snapshot get: `[cpu, memory, disk]` as asked for, else the contract's defaults.
pub(crate) fn snapshot_resources(
    asked: [Option<i64>; 3],
    settings: &Settings,
) -> Result<Resources, ApiError> {
    let ([cpu, memory, disk], usual, most) = (asked, Resources::default(), settings.most_per_sandbox);
    Ok(Resources {
        cpu: amount("cpu", "CPU", "", cpu, usual.cpu, most.cpu)?,
        gpu: 0,
        memory_gib: amount("memory", "Memory", "GB", memory, usual.memory_gib, most.memory_gib)?,
        disk_gib: amount("disk", "Disk", "GB", disk, usual.disk_gib, most.disk_gib)?,
    })
}

/// Zero counts as not asked, as in the contract.
fn amount(
    field: &str,
    word: &str,
    unit: &str,
    asked: Option<i64>,
    otherwise: u32,
    most: u32,
) -> Result<u32, ApiError> {
    match asked {
        None | Some(0) => Ok(otherwise),
        Some(number) if number < 0 => Err(ApiError::invalid(format!("{field} must not be less than 0"))),
        Some(number) => u32::try_from(number).ok().filter(|number| *number <= most).ok_or_else(|| {
            ApiError::invalid(format!(
                "{word} request {number}{unit} exceeds maximum allowed per sandbox ({most}{unit})."
            ))
        }),
    }
}

/// Returns the limits that a resize asks for: what is missing stays. Disks only grow: what is on them cannot be asked to
/// leave.
pub(crate) fn resized(
    asked: &ResizeSandbox,
    current: Resources,
    settings: &Settings,
) -> Result<Resources, ApiError> {
    let most = settings.most_per_sandbox;
    let wanted = Resources {
        cpu: amount("cpu", "CPU", "", asked.cpu, current.cpu, most.cpu)?,
        gpu: current.gpu,
        memory_gib: amount("memory", "Memory", "GiB", asked.memory, current.memory_gib, most.memory_gib)?,
        disk_gib: amount("disk", "Disk", "GiB", asked.disk, current.disk_gib, most.disk_gib)?,
    };
    if wanted.disk_gib < current.disk_gib {
        return Err(ApiError::invalid(format!(
            "disk cannot shrink: it has {} GiB, and {} GiB were asked for",
            current.disk_gib, wanted.disk_gib
        )));
    }
    if wanted == current {
        return Err(ApiError::invalid("Nothing to resize: at least one of cpu, memory and disk must differ"));
    }
    Ok(wanted)
}

/// Reads a region, by id or name; the default one when nothing is said.
pub(crate) fn region(target: Option<&str>, settings: &Settings) -> Result<String, ApiError> {
    let region = &settings.region;
    match target {
        None | Some("") => Ok(region.id.clone()),
        Some(target) if target == region.id || target == region.name => Ok(region.id.clone()),
        Some(target) => Err(ApiError::invalid(format!("Region {target} not found"))),
    }
}

/// Reads networks separated by commas, each with its mask.
pub(crate) fn network_allow_list(text: &str) -> Result<Vec<Ipv4Network>, ApiError> {
    allow_list(
        "networkAllowList",
        "IPv4 networks such as 203.0.113.0/24, mask included",
        text,
        Ipv4Network::parse_around,
    )
}

/// Reads domain names separated by commas.
pub(crate) fn domain_allow_list(text: &str) -> Result<Vec<DomainPattern>, ApiError> {
    allow_list(
        "domainAllowList",
        "domain names such as example.com or *.example.com",
        text,
        DomainPattern::parse,
    )
}

fn allow_list<T>(
    field: &str,
    wanted: &str,
    text: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ApiError> {
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    if entries == [""] {
        return Ok(Vec::new());
    }
    if entries.len() > LIST_ENTRIES {
        return Err(ApiError::invalid(format!("{field} must have at most {LIST_ENTRIES} entries")));
    }
    let refused = |entry: &&str| {
        let shown: String = entry.chars().filter(|character| !character.is_control()).take(64).collect();
        ApiError::invalid(format!("{field} must be {wanted}, separated by commas; `{shown}` is none"))
    };
    entries.iter().map(|entry| read(entry).ok_or_else(|| refused(entry))).collect()
}

/// Reads an idle time before a stop, in minutes.
pub(crate) fn auto_stop(minutes: i64) -> Result<u32, ApiError> {
    not_negative("Auto-stop", minutes)
}

/// Reads a stopped time before archiving, in minutes: 0 means the longest, and longer than the longest is the longest.
pub(crate) fn auto_archive(minutes: i64, settings: &Settings) -> Result<u32, ApiError> {
    let longest = settings.longest_auto_archive_minutes;
    Ok(match not_negative("Auto-archive", minutes)? {
        0 => longest,
        minutes => minutes.min(longest),
    })
}

/// Reads a stopped time before deletion, in minutes; every negative number means never.
pub(crate) fn auto_delete(minutes: i64) -> Result<i32, ApiError> {
    i32::try_from(minutes.max(-1)).map_err(|_| too_long("Auto-delete"))
}

/// Reads an idle time before a pause, in minutes.
pub(crate) fn auto_pause(minutes: i64) -> Result<u32, ApiError> {
    not_negative("Auto-pause", minutes)
}

/// Returns the intervals of a new sandbox.
pub(crate) fn intervals(asked: &CreateSandbox, settings: &Settings) -> Result<Intervals, ApiError> {
    let archive = |minutes| auto_archive(minutes, settings);
    timer::fresh(
        asked.auto_stop_interval.map(auto_stop).transpose()?,
        asked.auto_pause_interval.map(auto_pause).transpose()?,
        asked.auto_archive_interval.map(archive).transpose()?,
        asked.auto_delete_interval.map(auto_delete).transpose()?,
    )
}

/// Reads a time to live, in minutes; 0 means for ever.
pub(crate) fn time_to_live(minutes: i64) -> Result<u32, ApiError> {
    if minutes < 0 {
        return Err(ApiError::invalid("TTL must be non-negative"));
    }
    i32::try_from(minutes)
        .map(i32::unsigned_abs)
        .map_err(|_| ApiError::invalid(format!("TTL must be at most {} minutes", i32::MAX)))
}

/// Reads how long a new sandbox may wait for room: minutes outside, seconds inside.
pub(crate) fn queue_timeout_seconds(minutes: Option<i64>) -> Result<Option<u32>, ApiError> {
    let Some(minutes) = minutes else {
        return Ok(None);
    };
    if minutes < 1 {
        return Err(ApiError::invalid("queueTimeout must not be less than 1"));
    }
    let seconds = u32::try_from(minutes).ok().and_then(|minutes| minutes.checked_mul(60));
    let seconds = seconds.filter(|seconds| *seconds <= i32::MAX.unsigned_abs());
    seconds
        .map(Some)
        .ok_or_else(|| ApiError::invalid(format!("queueTimeout must be at most {} minutes", i32::MAX / 60)))
}

/// Reads the port of a preview.
pub(crate) fn port(text: &str) -> Result<u16, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or_else(|| ApiError::invalid("Invalid port"))
}

/// Reads how long a signed preview holds.
pub(crate) fn preview_seconds(asked: Option<u32>) -> Result<u32, ApiError> {
    let seconds = asked.unwrap_or(PREVIEW_SECONDS);
    if seconds > LONGEST_PREVIEW_SECONDS {
        return Err(ApiError::invalid(format!(
            "expiresInSeconds must not be greater than {LONGEST_PREVIEW_SECONDS}"
        )));
    }
    Ok(seconds)
}

/// Checks the name of a new snapshot: words between slashes, perhaps with a digest behind them.
pub(crate) fn new_snapshot(name: &str) -> Result<(), ApiError> {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-:".contains(&byte))
    };
    let digest = |digest: &str| {
        digest.len() == 64
            && digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let (path, is_digest) = match name.split_once("@sha256:") {
        Some((path, text)) => (path, digest(text)),
        None => (name, true),
    };
    if name.len() > SNAPSHOT_BYTES || !is_digest || !path.split('/').all(word) {
        return Err(ApiError::invalid(format!(
            "Invalid snapshot name format: letters, digits, `_`, `.`, `-` and `:` between slashes, at most \
             {SNAPSHOT_BYTES} of them"
        )));
    }
    if let Some(reserved) = [CAPTURED, BUILT].into_iter().find(|reserved| name.starts_with(reserved)) {
        return Err(ApiError::invalid(format!("Invalid snapshot name format: `{reserved}` is reserved")));
    }
    Ok(())
}

fn not_negative(word: &str, minutes: i64) -> Result<u32, ApiError> {
    if minutes < 0 {
        return Err(ApiError::invalid(format!("{word} interval must be non-negative")));
    }
    // The database and the SDKs hold 32 signed bits.
    i32::try_from(minutes).map(i32::unsigned_abs).map_err(|_| too_long(word))
}

fn too_long(word: &str) -> ApiError {
    ApiError::invalid(format!("{word} interval must be at most {} minutes", i32::MAX))
}

/// Refuses secrets, which are not built.
pub(crate) fn secrets(asked: &UpdateSandboxSecrets) -> Result<(), ApiError> {
    if asked.secrets.is_empty() { Ok(()) } else { Err(ApiError::FieldNotBuilt { field: "secrets" }) }
}

/// Refuses what is asked for and not built. Empty values, which SDKs send without being asked, pass.
pub(crate) fn built(asked: &CreateSandbox) -> Result<(), ApiError> {
    let text = |value: &Option<String>| value.as_ref().is_some_and(|text| !text.trim().is_empty());
    let positive = |value: Option<i64>| value.is_some_and(|number| number > 0);
    let refused = [
        ("secrets", asked.secrets.as_ref().is_some_and(|list| !list.is_empty())),
        ("outboundProxyUrl", text(&asked.outbound_proxy_url)),
        ("otelEndpointOverride", text(&asked.otel_endpoint_override)),
        ("gpu", positive(asked.gpu)),
        ("gpuType", asked.gpu_type.as_ref().is_some_and(|list| !list.is_empty())),
        ("kvm", asked.kvm == Some(true)),
        ("spot", asked.spot == Some(true)),
    ];
    match refused.into_iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(ApiError::FieldNotBuilt { field }),
        None => Ok(()),
    }
}
