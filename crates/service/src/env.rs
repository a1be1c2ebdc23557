//! Every setting, once: the one documented place that the help, the reference page and the resolver read.
//!
//! Names that the original deployment used keep their spelling and meaning; settings of our own have variables that
//! begin with [`PREFIX`], so that a misspelt one can be told from a stranger's variable.

use crate::setting::Fallback::{Derived, Unset, Value};
use crate::setting::{Kind, Section, Setting};

/// Begins the variables of settings that the original deployment did not have.
pub const PREFIX: &str = "DAYTONA_SERVER_";

/// A setting of our own.
const OWN: Setting = Setting {
    name: "",
    variable: "",
    alias: None,
    section: Section::Place,
    kind: Kind::Text,
    fallback: Unset(""),
    secret: false,
    original: false,
    description: "",
};
/// A setting whose variable the original deployment used.
const ORIGINAL: Setting = Setting { original: true, ..OWN };

pub const CONFIG: Setting = Setting {
    name: "config",
    variable: "DAYTONA_SERVER_CONFIG",
    kind: Kind::Path,
    fallback: Value("/etc/daytona/server.toml"),
    description: "TOML file with settings. The default file may be missing; a file named here must exist. Cannot be set in the file itself.",
    ..OWN
};
pub const DATA_DIR: Setting = Setting {
    name: "data_dir",
    variable: "DAYTONA_SERVER_DATA_DIR",
    kind: Kind::Path,
    fallback: Value("/var/lib/daytona"),
    description: "Directory that holds everything that must survive a restart: the database, images and the files of sandboxes.",
    ..OWN
};
pub const PUBLIC_URL: Setting = Setting {
    name: "public_url",
    variable: "DAYTONA_SERVER_PUBLIC_URL",
    kind: Kind::Url,
    fallback: Derived("`http://localhost:<port>`"),
    description: "The address under which users reach this server, without a path. The one thing to say on a real host: every other address derives from it.",
    ..OWN
};
pub const HOST: Setting = Setting {
    name: "host",
    variable: "DAYTONA_SERVER_HOST",
    kind: Kind::Address,
    fallback: Derived("`127.0.0.1` while the public URL names this machine only, else `0.0.0.0`"),
    description: "The IP address to listen on.",
    ..OWN
};
pub const PORT: Setting = Setting {
    name: "port",
    variable: "PORT",
    kind: Kind::Port,
    fallback: Value("3000"),
    description: "The port of the API, which also serves the toolbox path of sandboxes; 0 takes any that is free.",
    ..ORIGINAL
};
pub const DASHBOARD_URL: Setting = Setting {
    name: "dashboard_url",
    variable: "DASHBOARD_URL",
    kind: Kind::Url,
    fallback: Derived("`<public url>/dashboard`"),
    description: "The address of the dashboard, as told to clients.",
    ..ORIGINAL
};

pub const PROXY_PORT: Setting = Setting {
    name: "proxy_port",
    variable: "PROXY_PORT",
    section: Section::Proxy,
    kind: Kind::Port,
    fallback: Unset("the proxy listens on the API's port alone"),
    description: "A second port on which the proxy alone listens, from 1.",
    ..ORIGINAL
};
pub const PROXY_DOMAIN: Setting = Setting {
    name: "proxy_domain",
    variable: "PROXY_DOMAIN",
    section: Section::Proxy,
    fallback: Derived("host and port of the public URL"),
    description: "Host, with its port if any, under which users reach the proxy.",
    ..ORIGINAL
};
pub const PROXY_PROTOCOL: Setting = Setting {
    name: "proxy_protocol",
    variable: "PROXY_PROTOCOL",
    section: Section::Proxy,
    kind: Kind::Word(&["http", "https"]),
    fallback: Derived("that of the public URL"),
    description: "How users speak to the proxy.",
    ..ORIGINAL
};
pub const PROXY_TEMPLATE_URL: Setting = Setting {
    name: "proxy_template_url",
    variable: "PROXY_TEMPLATE_URL",
    section: Section::Proxy,
    fallback: Derived("`<protocol>://{{PORT}}-{{sandboxId}}.<domain>`"),
    description: "Pattern of preview addresses; must hold `{{PORT}}` and `{{sandboxId}}`.",
    ..ORIGINAL
};
pub const PROXY_TOOLBOX_BASE_URL: Setting = Setting {
    name: "proxy_toolbox_base_url",
    variable: "PROXY_TOOLBOX_BASE_URL",
    section: Section::Proxy,
    kind: Kind::Url,
    fallback: Derived("`<protocol>://<domain>` when `PROXY_DOMAIN` is set, else the public URL"),
    description: "What stands before `/toolbox/<sandbox id>/…` in the addresses that clients are given.",
    ..ORIGINAL
};

pub const ADMIN_API_KEY: Setting = Setting {
    name: "admin_api_key",
    variable: "ADMIN_API_KEY",
    section: Section::Control,
    kind: Kind::Key,
    fallback: Unset("the first start makes a key, prints it once and writes it to a file"),
    secret: true,
    description: "API key of the admin user that the first start makes.",
    ..ORIGINAL
};
pub const DEFAULT_SNAPSHOT: Setting = Setting {
    name: "default_snapshot",
    variable: "DEFAULT_SNAPSHOT",
    section: Section::Control,
    fallback: Value("daytona-default"),
    description: "Name of the snapshot that a sandbox is made from when its creator names none.",
    ..ORIGINAL
};
pub const DEFAULT_REGION_ID: Setting = Setting {
    name: "default_region_id",
    variable: "DEFAULT_REGION_ID",
    section: Section::Control,
    fallback: Value("us"),
    description: "Id of the region that this server's sandboxes are in.",
    ..ORIGINAL
};
pub const DEFAULT_REGION_NAME: Setting = Setting {
    name: "default_region_name",
    variable: "DEFAULT_REGION_NAME",
    section: Section::Control,
    fallback: Value("us"),
    description: "Name of that region, as shown to people.",
    ..ORIGINAL
};
pub const MAX_AUTO_ARCHIVE_INTERVAL: Setting = Setting {
    name: "max_auto_archive_interval",
    variable: "MAX_AUTO_ARCHIVE_INTERVAL",
    section: Section::Control,
    kind: Kind::Count,
    fallback: Value("43200"),
    description: "The longest auto-archive interval that a sandbox may have, in minutes.",
    ..ORIGINAL
};
pub const ENVIRONMENT: Setting = Setting {
    name: "environment",
    variable: "ENVIRONMENT",
    section: Section::Control,
    fallback: Value("production"),
    description: "Name of this deployment, as told to clients.",
    ..ORIGINAL
};
pub const OIDC_CLIENT_ID: Setting = Setting {
    name: "oidc_client_id",
    variable: "OIDC_CLIENT_ID",
    alias: Some("OID_CLIENT_ID"),
    section: Section::Control,
    fallback: Unset("told to clients as empty"),
    description: "Client id of the identity provider, as told to clients by `/api/config`.",
    ..ORIGINAL
};
pub const OIDC_ISSUER_BASE_URL: Setting = Setting {
    name: "oidc_issuer_base_url",
    variable: "OIDC_ISSUER_BASE_URL",
    alias: Some("OID_ISSUER_BASE_URL"),
    section: Section::Control,
    kind: Kind::Url,
    fallback: Unset("API keys alone are taken"),
    description: "Issuer whose JSON Web Tokens are taken beside API keys, found by OpenID Connect discovery. Also told to clients by `/api/config`. Needs the audience.",
    ..ORIGINAL
};
pub const PUBLIC_OIDC_DOMAIN: Setting = Setting {
    name: "public_oidc_domain",
    variable: "PUBLIC_OIDC_DOMAIN",
    section: Section::Control,
    kind: Kind::Url,
    fallback: Unset("clients are told the issuer itself"),
    description: "Issuer as browsers reach it, told to clients instead of the other when both are set. Tokens may name either.",
    ..ORIGINAL
};
pub const OIDC_AUDIENCE: Setting = Setting {
    name: "oidc_audience",
    variable: "OIDC_AUDIENCE",
    alias: Some("OID_AUDIENCE"),
    section: Section::Control,
    fallback: Unset("told to clients as empty"),
    description: "Audience that tokens must be made for. Also told to clients by `/api/config`.",
    ..ORIGINAL
};

pub const MAX_CPU_PER_SANDBOX: Setting = Setting {
    name: "max_cpu_per_sandbox",
    variable: "DAYTONA_SERVER_MAX_CPU_PER_SANDBOX",
    alias: Some("DEFAULT_ORG_QUOTA_MAX_CPU_PER_SANDBOX"),
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Unset("as many as the host has"),
    description: "The most virtual processors that one sandbox may ask for.",
    ..OWN
};
pub const MAX_MEMORY_PER_SANDBOX: Setting = Setting {
    name: "max_memory_per_sandbox",
    variable: "DAYTONA_SERVER_MAX_MEMORY_PER_SANDBOX",
    alias: Some("DEFAULT_ORG_QUOTA_MAX_MEMORY_PER_SANDBOX"),
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Unset("as much as the host has"),
    description: "The most memory that one sandbox may ask for, in GiB.",
    ..OWN
};
pub const MAX_DISK_PER_SANDBOX: Setting = Setting {
    name: "max_disk_per_sandbox",
    variable: "DAYTONA_SERVER_MAX_DISK_PER_SANDBOX",
    alias: Some("DEFAULT_ORG_QUOTA_MAX_DISK_PER_SANDBOX"),
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Unset("1024; disks take space only as they fill, so the host may have less"),
    description: "The most disk that one sandbox may ask for, in GiB.",
    ..OWN
};
pub const TOTAL_CPU_QUOTA: Setting = Setting {
    name: "total_cpu_quota",
    variable: "DAYTONA_SERVER_TOTAL_CPU_QUOTA",
    alias: Some("DEFAULT_ORG_QUOTA_TOTAL_CPU_QUOTA"),
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Unset("no bound"),
    description: "The most virtual processors that the running sandboxes of one organisation may have together.",
    ..OWN
};
pub const TOTAL_MEMORY_QUOTA: Setting = Setting {
    name: "total_memory_quota",
    variable: "DAYTONA_SERVER_TOTAL_MEMORY_QUOTA",
    alias: Some("DEFAULT_ORG_QUOTA_TOTAL_MEMORY_QUOTA"),
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Unset("no bound"),
    description: "The most memory that the running sandboxes of one organisation may have together, in GiB.",
    ..OWN
};
pub const TOTAL_DISK_QUOTA: Setting = Setting {
    name: "total_disk_quota",
    variable: "DAYTONA_SERVER_TOTAL_DISK_QUOTA",
    alias: Some("DEFAULT_ORG_QUOTA_TOTAL_DISK_QUOTA"),
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Unset("no bound"),
    description: "The most disk that the sandboxes of one organisation may have together, in GiB; those that are archived have none.",
    ..OWN
};
pub const TOTAL_SANDBOX_QUOTA: Setting = Setting {
    name: "total_sandbox_quota",
    variable: "DAYTONA_SERVER_TOTAL_SANDBOX_QUOTA",
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Unset("no bound"),
    description: "The most sandboxes that one organisation may have at once; those that are archived do not count.",
    ..OWN
};
pub const ENFORCE_QUOTAS: Setting = Setting {
    name: "enforce_quotas",
    variable: "DAYTONA_SERVER_ENFORCE_QUOTAS",
    alias: Some("DEFAULT_REGION_ENFORCE_QUOTAS"),
    section: Section::Sandbox,
    kind: Kind::Word(&["true", "false"]),
    fallback: Value("true"),
    description: "Whether what organisations may have together is bounded by the quotas above; `false` leaves them without effect.",
    ..OWN
};
pub const SNAPSHOT_QUOTA: Setting = Setting {
    name: "snapshot_quota",
    variable: "DAYTONA_SERVER_SNAPSHOT_QUOTA",
    alias: Some("DEFAULT_ORG_QUOTA_SNAPSHOT_QUOTA"),
    section: Section::Image,
    kind: Kind::Count,
    fallback: Unset("no bound"),
    description: "The most snapshots that one organisation may have in use.",
    ..OWN
};
pub const MAX_SNAPSHOT_SIZE: Setting = Setting {
    name: "max_snapshot_size",
    variable: "DAYTONA_SERVER_MAX_SNAPSHOT_SIZE",
    alias: Some("DEFAULT_ORG_QUOTA_MAX_SNAPSHOT_SIZE"),
    section: Section::Image,
    kind: Kind::Count,
    fallback: Unset("64"),
    description: "The most that an image which is pulled or built may take on the host, unpacked, in GiB.",
    ..OWN
};
pub const SNAPSHOT_DEACTIVATION_TIMEOUT: Setting = Setting {
    name: "snapshot_deactivation_timeout",
    variable: "DAYTONA_SERVER_SNAPSHOT_DEACTIVATION_TIMEOUT",
    section: Section::Image,
    kind: Kind::Count,
    fallback: Value("20160"),
    description: "After how many minutes without a use a snapshot of an image or a Dockerfile is put out of use, and the image of a build goes that nobody needs; 0 never. It can be put into use again.",
    ..OWN
};
pub const REGISTRY_MIRRORS: Setting = Setting {
    name: "registry_mirrors",
    variable: "DAYTONA_SERVER_REGISTRY_MIRRORS",
    section: Section::Image,
    fallback: Value(""),
    description: "Registries that are asked before others for the same images, such as `docker.io=https://mirror.example.com`, separated by commas; several of one registry are asked in order. No user's password is ever sent to one.",
    ..OWN
};
pub const INSECURE_REGISTRIES: Setting = Setting {
    name: "insecure_registries",
    variable: "DAYTONA_SERVER_INSECURE_REGISTRIES",
    section: Section::Image,
    fallback: Value(""),
    description: "Hosts of registries, with their ports, that are spoken to without TLS, separated by commas. Whoever is on the way can read passwords and change images.",
    ..OWN
};
pub const REGISTRY_CERTIFICATES: Setting = Setting {
    name: "registry_certificates",
    variable: "DAYTONA_SERVER_REGISTRY_CERTIFICATES",
    section: Section::Image,
    fallback: Value(""),
    description: "Files of certificates in PEM that are trusted for a registry beside those that the host trusts, such as `registry.example.com:5000=/etc/daytona/ca.pem`, separated by commas.",
    ..OWN
};
pub const TRANSIENT_REGISTRY_URL: Setting = Setting {
    name: "transient_registry_url",
    variable: "TRANSIENT_REGISTRY_URL",
    section: Section::Image,
    kind: Kind::Url,
    fallback: Unset("clients are told that they cannot push images"),
    description: "A registry that clients may push images to. Everybody who may make snapshots or sandboxes is told its user and password, so it should hold nothing that they may not see.",
    ..ORIGINAL
};
pub const TRANSIENT_REGISTRY_ADMIN: Setting = Setting {
    name: "transient_registry_admin",
    variable: "TRANSIENT_REGISTRY_ADMIN",
    section: Section::Image,
    fallback: Unset("must be said with the registry"),
    description: "Who pushes to that registry.",
    ..ORIGINAL
};
pub const TRANSIENT_REGISTRY_PASSWORD: Setting = Setting {
    name: "transient_registry_password",
    variable: "TRANSIENT_REGISTRY_PASSWORD",
    section: Section::Image,
    kind: Kind::Key,
    fallback: Unset("must be said with the registry"),
    secret: true,
    description: "The password of that user.",
    ..ORIGINAL
};
pub const TRANSIENT_REGISTRY_PROJECT_ID: Setting = Setting {
    name: "transient_registry_project_id",
    variable: "TRANSIENT_REGISTRY_PROJECT_ID",
    section: Section::Image,
    fallback: Unset("all of it"),
    description: "The part of that registry that is pushed to.",
    ..ORIGINAL
};
pub const NOTIFICATION_GATEWAY_DISABLED: Setting = Setting {
    name: "notification_gateway_disabled",
    variable: "NOTIFICATION_GATEWAY_DISABLED",
    section: Section::Control,
    kind: Kind::Word(&["true", "false"]),
    fallback: Value("false"),
    description: "Whether nobody is told of changes over sockets at `/api/socket.io/`; clients then ask again and again.",
    ..ORIGINAL
};
pub const EVENT_PING_INTERVAL: Setting = Setting {
    name: "event_ping_interval",
    variable: "DAYTONA_SERVER_EVENT_PING_INTERVAL",
    section: Section::Control,
    kind: Kind::Count,
    fallback: Value("25"),
    description: "How often a client that listens to changes is asked whether it is there, in seconds, at least 1.",
    ..OWN
};
pub const TELEMETRY_PERIOD: Setting = Setting {
    name: "telemetry_period",
    variable: "DAYTONA_SERVER_TELEMETRY_PERIOD",
    section: Section::Control,
    kind: Kind::Count,
    fallback: Value("60"),
    description: "How often it is measured what every running sandbox uses, in seconds, at least 1; samples are kept for an hour.",
    ..OWN
};
pub const SANDBOX_NETWORK: Setting = Setting {
    name: "sandbox_network",
    variable: "DAYTONA_SERVER_SANDBOX_NETWORK",
    section: Section::Sandbox,
    kind: Kind::Network,
    fallback: Value("10.210.0.0/16"),
    description: "Private network that sandboxes get their addresses from, two each. Must not overlap a network that the host reaches. While nobody says it, a server takes the first of ten such networks, up to 10.219.0.0/16, that no other server of this host uses.",
    ..OWN
};
pub const SANDBOX_NETWORK_ALLOW: Setting = Setting {
    name: "sandbox_network_allow",
    variable: "DAYTONA_SERVER_SANDBOX_NETWORK_ALLOW",
    section: Section::Sandbox,
    kind: Kind::Networks,
    fallback: Value(""),
    description: "Networks that sandboxes may reach although they are private or the host's own, such as that of a package mirror.",
    ..OWN
};
pub const ID_RANGE_START: Setting = Setting {
    name: "id_range_start",
    variable: "DAYTONA_SERVER_ID_RANGE_START",
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Value("1000000"),
    description: "The first user and group id on the host that user namespaces of sandboxes are mapped to. No account of the host may have an id from here on.",
    ..OWN
};
pub const ID_RANGE_COUNT: Setting = Setting {
    name: "id_range_count",
    variable: "DAYTONA_SERVER_ID_RANGE_COUNT",
    section: Section::Sandbox,
    kind: Kind::Count,
    fallback: Value("4096"),
    description: "How many ranges of 65,536 ids follow, one for every sandbox that exists: the most sandboxes this server can hold.",
    ..OWN
};

pub const S3_ENDPOINT: Setting = Setting {
    name: "s3_endpoint",
    variable: "S3_ENDPOINT",
    section: Section::Storage,
    kind: Kind::Url,
    fallback: Unset("that of Amazon S3 in the region"),
    description: "The address of an S3 service, with http or https, in whose bucket archived sandboxes and backups are kept. While neither this nor the bucket is said, they are kept in the directory `objects` of the data directory.",
    ..ORIGINAL
};
pub const S3_REGION: Setting = Setting {
    name: "s3_region",
    variable: "S3_REGION",
    section: Section::Storage,
    fallback: Value("us-east-1"),
    description: "The region of the bucket.",
    ..ORIGINAL
};
pub const S3_DEFAULT_BUCKET: Setting = Setting {
    name: "s3_default_bucket",
    variable: "S3_DEFAULT_BUCKET",
    section: Section::Storage,
    fallback: Unset("the directory `objects` of the data directory, unless an S3 service is said"),
    description: "The bucket, which must exist. Its service may remove uploads that were begun and not finished for a day: a server that was killed leaves some.",
    ..ORIGINAL
};
pub const S3_ACCESS_KEY: Setting = Setting {
    name: "s3_access_key",
    variable: "S3_ACCESS_KEY",
    section: Section::Storage,
    kind: Kind::Key,
    fallback: Unset("must be said with a bucket"),
    secret: true,
    description: "The id of the key with which this server may read, write, list and delete in the bucket.",
    ..ORIGINAL
};
pub const S3_SECRET_KEY: Setting = Setting {
    name: "s3_secret_key",
    variable: "S3_SECRET_KEY",
    section: Section::Storage,
    kind: Kind::Key,
    fallback: Unset("must be said with a bucket"),
    secret: true,
    description: "The key itself.",
    ..ORIGINAL
};
pub const S3_PATH_STYLE: Setting = Setting {
    name: "s3_path_style",
    variable: "DAYTONA_SERVER_S3_PATH_STYLE",
    section: Section::Storage,
    kind: Kind::Word(&["true", "false"]),
    fallback: Value("true"),
    description: "Whether the bucket stands in the path of addresses, as every service understands, or in the host name.",
    ..OWN
};

pub const OBJECT_STORAGE_QUOTA: Setting = Setting {
    name: "object_storage_quota",
    variable: "DAYTONA_SERVER_OBJECT_STORAGE_QUOTA",
    section: Section::Storage,
    kind: Kind::Count,
    fallback: Value("50"),
    description: "GiB that one organisation may keep of what its clients upload for builds.",
    ..OWN
};

pub const TLS_CERTIFICATE: Setting = Setting {
    name: "tls_certificate",
    variable: "DAYTONA_SERVER_TLS_CERTIFICATE",
    kind: Kind::Path,
    fallback: Unset(
        "the server makes one, signed by an authority of its own that `daytona trust` makes known",
    ),
    description: "PEM file with the certificate, and those between it and its authority, with which the API's port speaks TLS to whoever begins with it.",
    ..OWN
};
pub const TLS_KEY: Setting = Setting {
    name: "tls_key",
    variable: "DAYTONA_SERVER_TLS_KEY",
    kind: Kind::Path,
    fallback: Unset("must be said with a certificate"),
    description: "PEM file with the certificate's key.",
    ..OWN
};

pub const LOG_LEVEL: Setting = Setting {
    name: "log_level",
    variable: "LOG_LEVEL",
    section: Section::Log,
    kind: Kind::Word(&["off", "error", "warn", "info", "debug", "trace"]),
    fallback: Value("info"),
    description: "The least important line that is logged to stderr.",
    ..ORIGINAL
};
pub const LOG_FORMAT: Setting = Setting {
    name: "log_format",
    variable: "DAYTONA_SERVER_LOG_FORMAT",
    section: Section::Log,
    kind: Kind::Word(&["text", "json"]),
    fallback: Value("text"),
    description: "Lines for people, or one JSON object a line.",
    ..OWN
};

/// Every setting, in the order of the reference.
pub const SETTINGS: &[&Setting] = &[
    &PUBLIC_URL,
    &PORT,
    &HOST,
    &DATA_DIR,
    &TLS_CERTIFICATE,
    &TLS_KEY,
    &CONFIG,
    &DASHBOARD_URL,
    &PROXY_PORT,
    &PROXY_DOMAIN,
    &PROXY_PROTOCOL,
    &PROXY_TEMPLATE_URL,
    &PROXY_TOOLBOX_BASE_URL,
    &ADMIN_API_KEY,
    &DEFAULT_SNAPSHOT,
    &DEFAULT_REGION_ID,
    &DEFAULT_REGION_NAME,
    &MAX_AUTO_ARCHIVE_INTERVAL,
    &ENVIRONMENT,
    &OIDC_CLIENT_ID,
    &OIDC_ISSUER_BASE_URL,
    &PUBLIC_OIDC_DOMAIN,
    &OIDC_AUDIENCE,
    &NOTIFICATION_GATEWAY_DISABLED,
    &EVENT_PING_INTERVAL,
    &TELEMETRY_PERIOD,
    &MAX_CPU_PER_SANDBOX,
    &MAX_MEMORY_PER_SANDBOX,
    &MAX_DISK_PER_SANDBOX,
    &TOTAL_CPU_QUOTA,
    &TOTAL_MEMORY_QUOTA,
    &TOTAL_DISK_QUOTA,
    &TOTAL_SANDBOX_QUOTA,
    &ENFORCE_QUOTAS,
    &SANDBOX_NETWORK,
    &SANDBOX_NETWORK_ALLOW,
    &ID_RANGE_START,
    &ID_RANGE_COUNT,
    &SNAPSHOT_QUOTA,
    &MAX_SNAPSHOT_SIZE,
    &SNAPSHOT_DEACTIVATION_TIMEOUT,
    &REGISTRY_MIRRORS,
    &INSECURE_REGISTRIES,
    &REGISTRY_CERTIFICATES,
    &TRANSIENT_REGISTRY_URL,
    &TRANSIENT_REGISTRY_ADMIN,
    &TRANSIENT_REGISTRY_PASSWORD,
    &TRANSIENT_REGISTRY_PROJECT_ID,
    &S3_ENDPOINT,
    &S3_REGION,
    &S3_DEFAULT_BUCKET,
    &S3_ACCESS_KEY,
    &S3_SECRET_KEY,
    &S3_PATH_STYLE,
    &OBJECT_STORAGE_QUOTA,
    &LOG_LEVEL,
    &LOG_FORMAT,
];

/// Returns the setting with this key.
pub fn by_name(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().copied().find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_means_one_thing() {
        let names: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        let variables: Vec<&str> = SETTINGS.iter().flat_map(|setting| setting.variables()).collect();
        assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
    }

    #[test]
    fn names_tell_where_they_come_from() {
        for setting in SETTINGS {
            let derived = setting.name.to_uppercase();
            let expected = if setting.original { derived } else { format!("{PREFIX}{derived}") };
            assert_eq!(setting.variable, expected);
            assert!(
                setting.description.ends_with('.') && !setting.description.contains('|'),
                "{}",
                setting.name
            );
        }
    }
}
