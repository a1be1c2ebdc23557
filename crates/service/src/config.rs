//! Turns flags, environment and file into settings, once, at start.

mod image;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use types::quota::Quota;

use crate::environment::Environment;
use crate::error::ServiceError;
use crate::file::File;
use crate::flags::Flags;
use crate::nearest::nearest;
use crate::setting::{Kind, Setting};
use crate::settings::{
    ApiSettings, BucketSettings, EventSettings, LimitSettings, ListenSettings, LogSettings, OidcSettings,
    SandboxSettings, Settings, TlsSettings,
};
use crate::values::{self, Values};
use crate::{deferred, env};

/// Ids of one sandbox.
const IDS_PER_SANDBOX: u64 = 65_536;

/// The settings, and who said each of them.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings.
    pub settings: Settings,
    /// Who said them.
    pub values: Values,
    /// Variables that are set, known, and not used by this version.
    pub deferred: Vec<&'static str>,
}

/// Resolves the settings, reading the file that flags or environment name.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Config, ServiceError> {
    let early = Values::collect(flags, environment, None);
    let path: PathBuf = early.require(&env::CONFIG, values::path)?;
    let file = File::read(&path)?;
    if file.is_none() && early.is_said(&env::CONFIG) {
        return Err(early.refuse(&env::CONFIG, "a file that exists".to_owned()));
    }
    resolve(flags, environment, file.as_ref())
}

/// Resolves the settings: flags win over the environment, it over the file, it over the defaults. Pure.
pub fn resolve(
    flags: &Flags,
    environment: &Environment,
    file: Option<&File>,
) -> Result<Config, ServiceError> {
    check_names(environment)?;
    let mut values = Values::collect(flags, environment, file);
    derive(&mut values)?;
    let settings = Settings {
        data_dir: values.require(&env::DATA_DIR, values::path)?,
        listen: listen(&values)?,
        api: api(&values)?,
        sandbox: sandbox(&values)?,
        bucket: bucket(&values)?,
        image: image::image(&values)?,
        object_storage_quota_bytes: gibibytes(&values, &env::OBJECT_STORAGE_QUOTA)?,
        tls: tls(&values)?,
        events: events(&values)?,
        telemetry_period: seconds(&values, &env::TELEMETRY_PERIOD)?,
        log: log(&values)?,
    };
    let is_set = |variable: &&str| environment.get(*variable).is_some_and(|text| !text.is_empty());
    let deferred = deferred::variables().filter(is_set).collect();
    Ok(Config { settings, values, deferred })
}

/// Refuses variables that begin as ours do and are none of ours. Others belong to other programs.
fn check_names(environment: &Environment) -> Result<(), ServiceError> {
    let own = || env::SETTINGS.iter().filter_map(|setting| setting.variable.strip_prefix(env::PREFIX));
    for variable in environment.keys() {
        let Some(rest) = variable.strip_prefix(env::PREFIX) else { continue };
        if !own().any(|name| name == rest) {
            let nearest = nearest(rest, own()).map(|name| format!("{}{name}", env::PREFIX));
            return Err(ServiceError::UnknownVariable { variable: variable.clone(), nearest });
        }
    }
    Ok(())
}

/// Fills in every setting that follows from another.
fn derive(values: &mut Values) -> Result<(), ServiceError> {
    let port = values.require(&env::PORT, values::port)?;
    if !values.is_said(&env::PUBLIC_URL) {
        values.derive(&env::PUBLIC_URL, format!("http://localhost:{port}"));
    }
    let public_url = public_url(values)?;
    let (scheme, authority) = public_url.split_once("://").unwrap_or_default();
    if !values.is_said(&env::HOST) {
        let host = if names_this_machine(authority) { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        values.derive(&env::HOST, host.to_string());
    }
    if !values.is_said(&env::DASHBOARD_URL) {
        values.derive(&env::DASHBOARD_URL, format!("{public_url}/dashboard"));
    }
    if !values.is_said(&env::PROXY_PROTOCOL) {
        values.derive(&env::PROXY_PROTOCOL, scheme.to_owned());
    }
    let protocol = values.require(&env::PROXY_PROTOCOL, word(&env::PROXY_PROTOCOL))?;
    let has_domain = values.is_said(&env::PROXY_DOMAIN);
    if !has_domain {
        values.derive(&env::PROXY_DOMAIN, authority.to_owned());
    }
    let domain = values
        .text(&env::PROXY_DOMAIN)
        .and_then(values::authority)
        .ok_or_else(|| values.refuse(&env::PROXY_DOMAIN, "a host with or without a port".to_owned()))?;
    if !values.is_said(&env::PROXY_TEMPLATE_URL) {
        values.derive(
            &env::PROXY_TEMPLATE_URL,
            format!("{protocol}://{{{{PORT}}}}-{{{{sandboxId}}}}.{domain}"),
        );
    }
    if !values.is_said(&env::PROXY_TOOLBOX_BASE_URL) {
        let base = if has_domain { format!("{protocol}://{domain}") } else { public_url };
        values.derive(&env::PROXY_TOOLBOX_BASE_URL, base);
    }
    Ok(())
}

fn public_url(values: &Values) -> Result<String, ServiceError> {
    let url = values.require(&env::PUBLIC_URL, values::url)?;
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path {
        return Err(values.refuse(&env::PUBLIC_URL, "a URL without a path".to_owned()));
    }
    Ok(url)
}

/// Tells whether a host can only mean the machine it is used on.
fn names_this_machine(authority: &str) -> bool {
    let (host, _) = values::split_port(authority);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let host = host.to_ascii_lowercase();
    match address {
        Ok(IpAddr::V4(address)) => address.is_loopback(),
        Ok(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST,
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn listen(values: &Values) -> Result<ListenSettings, ServiceError> {
    let host = values.require(&env::HOST, values::address)?;
    let port = values.require(&env::PORT, values::port)?;
    let proxy_port = values.read(&env::PROXY_PORT, values::port)?;
    if proxy_port == Some(0) {
        // Nobody could be told which port it became.
        return Err(values.refuse(&env::PROXY_PORT, "a port from 1 to 65535".to_owned()));
    }
    // The API's port serves the proxy as well, so naming the same one asks for nothing more.
    let proxy_port = proxy_port.filter(|proxy| *proxy != port);
    Ok(ListenSettings {
        api: SocketAddr::new(host, port),
        proxy: proxy_port.map(|port| SocketAddr::new(host, port)),
    })
}

fn api(values: &Values) -> Result<ApiSettings, ServiceError> {
    let template = values.require(&env::PROXY_TEMPLATE_URL, values::line)?;
    if !(template.contains("{{PORT}}") && template.contains("{{sandboxId}}")) {
        let expectation = "a URL with {{PORT}} and {{sandboxId}} in it".to_owned();
        return Err(values.refuse(&env::PROXY_TEMPLATE_URL, expectation));
    }
    let toolbox_base = values.require(&env::PROXY_TOOLBOX_BASE_URL, values::url)?;
    Ok(ApiSettings {
        public_url: public_url(values)?,
        dashboard_url: values.require(&env::DASHBOARD_URL, values::url)?,
        toolbox_url: format!("{toolbox_base}/toolbox"),
        proxy_template_url: template,
        proxy_domain: values.require(&env::PROXY_DOMAIN, values::authority)?,
        proxy_protocol: values.require(&env::PROXY_PROTOCOL, word(&env::PROXY_PROTOCOL))?,
        admin_api_key: values.read(&env::ADMIN_API_KEY, values::key)?,
        default_snapshot: values.require(&env::DEFAULT_SNAPSHOT, values::line)?,
        region_id: values.require(&env::DEFAULT_REGION_ID, values::line)?,
        region_name: values.require(&env::DEFAULT_REGION_NAME, values::line)?,
        max_auto_archive_interval_minutes: values.require(&env::MAX_AUTO_ARCHIVE_INTERVAL, values::count)?,
        environment: values.require(&env::ENVIRONMENT, values::line)?,
        oidc: oidc(values)?,
        limits: LimitSettings {
            cpu: limit(values, &env::MAX_CPU_PER_SANDBOX)?,
            memory_gib: limit(values, &env::MAX_MEMORY_PER_SANDBOX)?,
            disk_gib: limit(values, &env::MAX_DISK_PER_SANDBOX)?,
        },
        quota: quota(values)?,
    })
}

/// Reads what is said of the login provider. Tokens of one are made for many, so that whom ours are for must be said.
fn oidc(values: &Values) -> Result<OidcSettings, ServiceError> {
    let settings = OidcSettings {
        client_id: values.read(&env::OIDC_CLIENT_ID, values::line)?,
        issuer: values.read(&env::OIDC_ISSUER_BASE_URL, values::url)?,
        public_issuer: values.read(&env::PUBLIC_OIDC_DOMAIN, values::url)?,
        audience: values.read(&env::OIDC_AUDIENCE, values::line)?,
    };
    if settings.issuer.is_some() && settings.audience.is_none() {
        let expectation = "said too, since the issuer is".to_owned();
        return Err(values.refuse(&env::OIDC_AUDIENCE, expectation));
    }
    Ok(settings)
}

/// Reads the bounds of an organisation. They are read also where they have no effect, so that a mistake in one is found.
fn quota(values: &Values) -> Result<Quota, ServiceError> {
    let quota = Quota {
        cpu: limit(values, &env::TOTAL_CPU_QUOTA)?,
        memory_gib: limit(values, &env::TOTAL_MEMORY_QUOTA)?,
        disk_gib: limit(values, &env::TOTAL_DISK_QUOTA)?,
        sandboxes: limit(values, &env::TOTAL_SANDBOX_QUOTA)?,
    };
    let is_enforced = values.require(&env::ENFORCE_QUOTAS, word(&env::ENFORCE_QUOTAS))? == "true";
    Ok(if is_enforced { quota } else { Quota::default() })
}

/// Reads a limit; 0 would allow no sandbox at all, which nobody means.
fn limit(values: &Values, setting: &Setting) -> Result<Option<u32>, ServiceError> {
    match values.read(setting, values::count)? {
        Some(0) => Err(values.refuse(setting, "a whole number from 1".to_owned())),
        limit => Ok(limit),
    }
}

fn sandbox(values: &Values) -> Result<SandboxSettings, ServiceError> {
    let network = values.require(&env::SANDBOX_NETWORK, types::network::Ipv4Network::parse)?;
    if !(8..=24).contains(&network.prefix_length) {
        let expectation = "an IPv4 network with a prefix from /8 to /24".to_owned();
        return Err(values.refuse(&env::SANDBOX_NETWORK, expectation));
    }
    let id_range_start = values.require(&env::ID_RANGE_START, values::count)?;
    if u64::from(id_range_start) < IDS_PER_SANDBOX {
        let expectation = format!("a whole number from {IDS_PER_SANDBOX}, beyond the host's own accounts");
        return Err(values.refuse(&env::ID_RANGE_START, expectation));
    }
    let id_range_count = values.require(&env::ID_RANGE_COUNT, values::count)?;
    // The last id, 4294967295, means "no id" to the kernel.
    let most = (u64::from(u32::MAX) - u64::from(id_range_start)) / IDS_PER_SANDBOX;
    if !(1..=most).contains(&u64::from(id_range_count)) {
        return Err(values.refuse(&env::ID_RANGE_COUNT, format!("a whole number from 1 to {most}")));
    }
    let network_allow = values.require(&env::SANDBOX_NETWORK_ALLOW, values::networks)?;
    Ok(SandboxSettings { network, network_allow, id_range_start, id_range_count })
}

fn events(values: &Values) -> Result<EventSettings, ServiceError> {
    let setting = &env::NOTIFICATION_GATEWAY_DISABLED;
    Ok(EventSettings {
        disabled: values.require(setting, word(setting))? == "true",
        ping_interval: seconds(values, &env::EVENT_PING_INTERVAL)?,
    })
}

/// Reads a period; one of 0 would leave time for nothing else.
fn seconds(values: &Values, setting: &Setting) -> Result<Duration, ServiceError> {
    match values.require(setting, values::count)? {
        0 => Err(values.refuse(setting, "a whole number from 1 on".to_owned())),
        seconds => Ok(Duration::from_secs(seconds.into())),
    }
}

/// Reads the bucket, of which everything is said or nothing.
fn bucket(values: &Values) -> Result<Option<BucketSettings>, ServiceError> {
    let parts = [&env::S3_ENDPOINT, &env::S3_DEFAULT_BUCKET, &env::S3_ACCESS_KEY, &env::S3_SECRET_KEY];
    if !parts.into_iter().any(|part| values.is_said(part)) {
        return Ok(None);
    }
    let needed = |setting| {
        let expectation = "said too, since other settings of an S3 service are".to_owned();
        values.refuse(setting, expectation)
    };
    let key = |setting| values.read(setting, values::key)?.ok_or_else(|| needed(setting));
    let name = values.read(&env::S3_DEFAULT_BUCKET, bucket_name)?;
    Ok(Some(BucketSettings {
        endpoint: values.read(&env::S3_ENDPOINT, values::url)?,
        region: values.require(&env::S3_REGION, values::key)?.expose().to_owned(),
        bucket: name.ok_or_else(|| needed(&env::S3_DEFAULT_BUCKET))?,
        access_key: key(&env::S3_ACCESS_KEY)?,
        secret_key: key(&env::S3_SECRET_KEY)?,
        path_style: values.require(&env::S3_PATH_STYLE, word(&env::S3_PATH_STYLE))? == "true",
    }))
}

/// Reads a number of GiB.
fn gibibytes(values: &Values, setting: &Setting) -> Result<u64, ServiceError> {
    Ok(u64::from(values.require(setting, values::count)?) << 30)
}

/// Reads where a certificate and its key are: both are said, or none.
fn tls(values: &Values) -> Result<Option<TlsSettings>, ServiceError> {
    let needed =
        |setting| values.refuse(setting, "said too: a certificate and its key go together".to_owned());
    match (values.read(&env::TLS_CERTIFICATE, values::path)?, values.read(&env::TLS_KEY, values::path)?) {
        (Some(certificate), Some(key)) => Ok(Some(TlsSettings { certificate, key })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(needed(&env::TLS_CERTIFICATE)),
        (Some(_), None) => Err(needed(&env::TLS_KEY)),
    }
}

/// Reads the name of a bucket, which becomes a part of addresses.
fn bucket_name(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let valid = (3..=63).contains(&text.len()) && text.bytes().all(plain) && !text.contains("..");
    valid.then(|| text.to_owned())
}

fn log(values: &Values) -> Result<LogSettings, ServiceError> {
    let level = values.require(&env::LOG_LEVEL, word(&env::LOG_LEVEL))?;
    let format = values.require(&env::LOG_FORMAT, word(&env::LOG_FORMAT))?;
    Ok(LogSettings { level: level.parse().ok(), json: format == "json" })
}

/// Makes the reader of a setting that is one of a few words.
fn word(setting: &Setting) -> impl Fn(&str) -> Option<String> {
    let words = if let Kind::Word(words) = setting.kind { words } else { &[] };
    move |text| words.contains(&text).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
