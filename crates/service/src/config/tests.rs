//! Who wins, what derives from what, and what is refused.

use std::path::Path;

use super::*;
use crate::values::Origin;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flags(line: &str) -> Flags {
    Flags::parse(line.split_whitespace().map(str::to_owned)).expect("flags parse")
}

fn with(pairs: &[(&str, &str)]) -> Result<Config, ServiceError> {
    resolve(&Flags::default(), &environment(pairs), None)
}

fn file(text: &str) -> File {
    File::parse(Path::new("/s.toml"), text).expect("file parses")
}

#[test]
fn needs_nothing() {
    let settings = with(&[]).expect("resolves").settings;
    assert_eq!(settings.listen.api.to_string(), "127.0.0.1:3000");
    assert_eq!(settings.listen.proxy, None);
    assert_eq!(settings.data_dir, Path::new("/var/lib/daytona"));
    assert_eq!(settings.api.public_url, "http://localhost:3000");
    assert_eq!(settings.api.toolbox_url, "http://localhost:3000/toolbox");
    assert_eq!(settings.api.dashboard_url, "http://localhost:3000/dashboard");
    assert_eq!(settings.api.proxy_template_url, "http://{{PORT}}-{{sandboxId}}.localhost:3000");
    assert_eq!(settings.api.max_auto_archive_interval_minutes, 43_200);
    assert_eq!(settings.api.limits, LimitSettings::default());
    assert_eq!(settings.log, LogSettings { level: Some(tracing::Level::INFO), json: false });
}

#[test]
fn the_first_who_says_it_wins() {
    let file = file("port = 1\nproxy_port = 1\nenvironment = \"file\"");
    let environment = environment(&[("PORT", "2"), ("PROXY_PORT", "2"), ("DEFAULT_SNAPSHOT", "")]);
    let config = resolve(&flags("--port 3"), &environment, Some(&file)).expect("resolves");
    assert_eq!(config.settings.listen.api.port(), 3);
    assert_eq!(config.values.origin(&env::PORT), Origin::Flag);
    assert_eq!(config.settings.listen.proxy.map(|address| address.port()), Some(2));
    assert_eq!(config.values.origin(&env::PROXY_PORT), Origin::Environment("PROXY_PORT"));
    assert_eq!(config.settings.api.environment, "file");
    assert_eq!(config.values.origin(&env::ENVIRONMENT), Origin::File("/s.toml".into()));
    assert_eq!(config.settings.api.default_snapshot, "daytona-default", "an empty variable is not set");
    assert_eq!(config.values.origin(&env::DEFAULT_SNAPSHOT), Origin::Default);
    assert_eq!(config.values.origin(&env::PUBLIC_URL), Origin::Derived);
}

#[test]
fn every_address_derives_from_the_public_one() {
    let settings = with(&[("DAYTONA_SERVER_PUBLIC_URL", "https://d.example/")]).expect("resolves").settings;
    assert_eq!(settings.listen.api.to_string(), "0.0.0.0:3000");
    assert_eq!(settings.api.public_url, "https://d.example");
    assert_eq!(settings.api.toolbox_url, "https://d.example/toolbox");
    assert_eq!(settings.api.proxy_template_url, "https://{{PORT}}-{{sandboxId}}.d.example");
    let pairs = [("PROXY_DOMAIN", "p.example:4000"), ("PROXY_PROTOCOL", "https"), ("PROXY_PORT", "4000")];
    let settings = with(&pairs).expect("resolves").settings;
    assert_eq!(settings.api.toolbox_url, "https://p.example:4000/toolbox");
    assert_eq!(settings.api.proxy_template_url, "https://{{PORT}}-{{sandboxId}}.p.example:4000");
    let pairs = [("PROXY_DOMAIN", "p.example"), ("PROXY_TOOLBOX_BASE_URL", "http://t.example/x/")];
    assert_eq!(with(&pairs).expect("resolves").settings.api.toolbox_url, "http://t.example/x/toolbox");
}

#[test]
fn listens_beyond_this_machine_only_when_told() {
    for (url, host) in [
        ("http://localhost:3000", "127.0.0.1"),
        ("http://api.LOCALHOST", "127.0.0.1"),
        ("http://127.0.0.9", "127.0.0.1"),
        ("http://[::1]:3000", "127.0.0.1"),
        ("http://192.168.1.2:3000", "0.0.0.0"),
        ("https://localhost.example", "0.0.0.0"),
    ] {
        let settings = with(&[("DAYTONA_SERVER_PUBLIC_URL", url)]).expect(url).settings;
        assert_eq!(settings.listen.api.ip().to_string(), host, "{url}");
    }
    let settings = with(&[("DAYTONA_SERVER_HOST", "::")]).expect("resolves").settings;
    assert_eq!(settings.listen.api.to_string(), "[::]:3000");
}

#[test]
fn names_of_the_original_keep_their_meaning() {
    let config = with(&[
        ("OID_CLIENT_ID", "old"),
        ("OIDC_AUDIENCE", "new"),
        ("OID_AUDIENCE", "old"),
        ("LOG_LEVEL", "off"),
        ("ADMIN_API_KEY", "e2e_admin_api_key"),
        ("DB_HOST", "db"),
        ("DB_PORT", ""),
    ])
    .expect("resolves");
    let api = config.settings.api;
    assert_eq!(api.oidc.client_id.as_deref(), Some("old"));
    assert_eq!(api.oidc.audience.as_deref(), Some("new"));
    assert_eq!(api.admin_api_key.as_ref().map(crate::secret::Secret::expose), Some("e2e_admin_api_key"));
    assert_eq!(config.settings.log.level, None);
    assert_eq!(config.deferred, ["DB_HOST"]);
}

#[test]
fn an_issuer_needs_an_audience() {
    let issuer = ("OIDC_ISSUER_BASE_URL", "https://login.test/");
    let error = with(&[issuer]).expect_err("is refused").to_string();
    assert!(error.contains("oidc_audience"), "{error}");
    let oidc = with(&[issuer, ("OIDC_AUDIENCE", "daytona")]).expect("resolves").settings.api.oidc;
    assert_eq!(oidc.issuer.as_deref(), Some("https://login.test"));
    assert_eq!(with(&[]).expect("resolves").settings.api.oidc.issuer, None);
}

#[test]
fn the_same_port_twice_is_one_listener() {
    assert_eq!(with(&[("PROXY_PORT", "3000")]).expect("resolves").settings.listen.proxy, None);
}

#[test]
fn port_0_is_for_the_caller_to_fill_in() {
    let settings = with(&[("PORT", "0")]).expect("resolves").settings;
    assert_eq!(settings.listen.api.port(), 0);
    let error = with(&[("PROXY_PORT", "0")]).expect_err("nobody could be told");
    let sentence = "proxy_port from environment PROXY_PORT is `0`: must be a port from 1 to 65535";
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn refuses_with_a_sentence() {
    for (variable, value, sentence) in [
        ("PORT", "x", "port from environment PORT is `x`: must be a port from 0 to 65535"),
        (
            "PROXY_PROTOCOL",
            "ftp",
            "proxy_protocol from environment PROXY_PROTOCOL is `ftp`: must be one of http, https",
        ),
        (
            "PROXY_DOMAIN",
            "a/b",
            "proxy_domain from environment PROXY_DOMAIN is `a/b`: must be a host with or without a port",
        ),
        (
            "PROXY_TEMPLATE_URL",
            "http://a",
            "proxy_template_url from environment PROXY_TEMPLATE_URL is `http://a`: must be a URL with {{PORT}} and {{sandboxId}} in it",
        ),
        (
            "DAYTONA_SERVER_PUBLIC_URL",
            "http://a/b",
            "public_url from environment DAYTONA_SERVER_PUBLIC_URL is `http://a/b`: must be a URL without a path",
        ),
        (
            "DAYTONA_SERVER_DATA_DIR",
            "data",
            "data_dir from environment DAYTONA_SERVER_DATA_DIR is `data`: must be an absolute path",
        ),
        (
            "DAYTONA_SERVER_MAX_CPU_PER_SANDBOX",
            "0",
            "max_cpu_per_sandbox from environment DAYTONA_SERVER_MAX_CPU_PER_SANDBOX is `0`: must be a whole number from 1",
        ),
        (
            "DAYTONA_SERVER_SANDBOX_NETWORK",
            "10.0.0.0/30",
            "sandbox_network from environment DAYTONA_SERVER_SANDBOX_NETWORK is `10.0.0.0/30`: must be an IPv4 network with a prefix from /8 to /24",
        ),
        (
            "DAYTONA_SERVER_ID_RANGE_START",
            "1000",
            "id_range_start from environment DAYTONA_SERVER_ID_RANGE_START is `1000`: must be a whole number from 65536, beyond the host's own accounts",
        ),
        (
            "DAYTONA_SERVER_ID_RANGE_COUNT",
            "65536",
            "id_range_count from environment DAYTONA_SERVER_ID_RANGE_COUNT is `65536`: must be a whole number from 1 to 65520",
        ),
        ("DAYTONA_SERVER_PROT", "1", "unknown environment variable DAYTONA_SERVER_PROT"),
        (
            "DAYTONA_SERVER_HOSTS",
            "1",
            "unknown environment variable DAYTONA_SERVER_HOSTS: did you mean DAYTONA_SERVER_HOST?",
        ),
        (
            "ADMIN_API_KEY",
            "with space",
            "admin_api_key from environment ADMIN_API_KEY is `(redacted)`: must be visible ASCII characters without spaces",
        ),
    ] {
        assert_eq!(with(&[(variable, value)]).expect_err(variable).to_string(), sentence);
    }
}

#[test]
fn a_named_file_must_exist() {
    let error = load(&flags("--config /nowhere/at/all.toml"), &Environment::new()).expect_err("no such file");
    assert_eq!(error.to_string(), "config from flag is `/nowhere/at/all.toml`: must be a file that exists");
}

#[test]
fn nothing_secret_is_printed() {
    let config = with(&[("ADMIN_API_KEY", "hunter2"), ("MAINTENANCE_MODE", "1")]).expect("resolves");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_bucket_is_said_whole_or_not_at_all() {
    assert_eq!(with(&[("S3_REGION", "eu-1")]).expect("resolves").settings.bucket, None);
    let whole = [
        ("S3_ENDPOINT", "http://minio:9000/"),
        ("S3_DEFAULT_BUCKET", "daytona"),
        ("S3_ACCESS_KEY", "who"),
        ("S3_SECRET_KEY", "hunter2"),
    ];
    let bucket = with(&whole).expect("resolves").settings.bucket.expect("a bucket");
    assert_eq!(bucket.endpoint.as_deref(), Some("http://minio:9000"));
    assert_eq!((bucket.bucket.as_str(), bucket.region.as_str()), ("daytona", "us-east-1"));
    assert_eq!((bucket.access_key.expose(), bucket.secret_key.expose()), ("who", "hunter2"));
    assert!(bucket.path_style && !format!("{bucket:?}").contains("hunter2"));
    let amazon = with(&whole[1..]).expect("resolves").settings.bucket.expect("a bucket");
    assert_eq!(amazon.endpoint, None);
    for (missing, name) in [(1, "s3_default_bucket"), (2, "s3_access_key"), (3, "s3_secret_key")] {
        let rest: Vec<_> = whole.into_iter().enumerate().filter(|(at, _)| *at != missing).collect();
        let rest: Vec<_> = rest.into_iter().map(|(_, pair)| pair).collect();
        let error = with(&rest).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains("said too"), "{error}");
    }
    for (name, value) in [
        ("S3_DEFAULT_BUCKET", "../etc"),
        ("S3_DEFAULT_BUCKET", "a/b/c"),
        ("S3_DEFAULT_BUCKET", "UPPER"),
        ("S3_DEFAULT_BUCKET", "ab"),
        ("S3_ENDPOINT", "minio:9000"),
        ("DAYTONA_SERVER_S3_PATH_STYLE", "yes"),
    ] {
        let pairs: Vec<_> =
            whole.into_iter().filter(|(known, _)| *known != name).chain([(name, value)]).collect();
        with(&pairs).expect_err(value);
    }
}

#[test]
fn quotas_bound_nothing_until_they_are_said() {
    let quota = |pairs: &[(&str, &str)]| with(pairs).expect("resolves").settings.api.quota;
    assert_eq!(quota(&[]), Quota::default());
    let said = [
        ("DEFAULT_ORG_QUOTA_TOTAL_CPU_QUOTA", "10"),
        ("DEFAULT_ORG_QUOTA_TOTAL_MEMORY_QUOTA", "20"),
        ("DEFAULT_ORG_QUOTA_TOTAL_DISK_QUOTA", "30"),
        ("DAYTONA_SERVER_TOTAL_SANDBOX_QUOTA", "40"),
    ];
    let bounds = Quota { cpu: Some(10), memory_gib: Some(20), disk_gib: Some(30), sandboxes: Some(40) };
    assert_eq!(quota(&said), bounds);
    let lifted: Vec<_> = said.into_iter().chain([("DEFAULT_REGION_ENFORCE_QUOTAS", "false")]).collect();
    assert_eq!(quota(&lifted), Quota::default());
    let error = with(&[("DEFAULT_ORG_QUOTA_TOTAL_CPU_QUOTA", "0")]).expect_err("nothing could run");
    assert!(error.to_string().ends_with("is `0`: must be a whole number from 1"), "{error}");
    let limits =
        with(&[("DEFAULT_ORG_QUOTA_MAX_CPU_PER_SANDBOX", "3")]).expect("resolves").settings.api.limits;
    assert_eq!(limits.cpu, Some(3), "the name that the original deployment had");
}
