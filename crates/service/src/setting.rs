//! What is known about one setting: its names, its kind and its meaning.

/// What a setting's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text on one line.
    Text,
    /// A key that fits in a header.
    Key,
    /// The address of a page or service.
    Url,
    /// A file or directory.
    Path,
    /// A TCP port.
    Port,
    /// An IP address to listen on.
    Address,
    /// A whole number.
    Count,
    /// An IPv4 network.
    Network,
    /// Several IPv4 networks.
    Networks,
    /// One of a few words.
    Word(&'static [&'static str]),
}

impl Kind {
    /// Says what a value must be, to finish a sentence that begins with "must be".
    pub fn expectation(self) -> String {
        match self {
            Self::Text => "text on one line".to_owned(),
            Self::Key => "visible ASCII characters without spaces".to_owned(),
            Self::Url => "an http:// or https:// URL without user, query or fragment".to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Port => "a port from 0 to 65535".to_owned(),
            Self::Address => "an IP address".to_owned(),
            Self::Count => "a whole number from 0 to 4294967295".to_owned(),
            Self::Network => "an IPv4 network such as 10.0.0.0/8".to_owned(),
            Self::Networks => "IPv4 networks such as 10.0.0.0/8, separated by commas".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// Names the placeholder after a flag in the help.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Key => "KEY",
            Self::Url => "URL",
            Self::Path => "PATH",
            Self::Port => "PORT",
            Self::Address => "ADDRESS",
            Self::Count => "NUMBER",
            Self::Network => "CIDR",
            Self::Networks => "CIDR,…",
            Self::Word(_) => "WORD",
        }
    }
}

/// The value of a setting that nobody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This text.
    Value(&'static str),
    /// Computed from other settings, in the way described.
    Derived(&'static str),
    /// None, with the meaning described.
    Unset(&'static str),
}

/// Where a setting stands in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Where things are and listen.
    Place,
    /// The way to sandboxes.
    Proxy,
    /// The control plane.
    Control,
    /// What sandboxes may use.
    Sandbox,
    /// What sandboxes are made from.
    Image,
    /// Where archived sandboxes and backups are kept.
    Storage,
    /// What the process says about itself.
    Log,
}

impl Section {
    /// Every section in the order of the reference.
    pub const ALL: [Self; 7] =
        [Self::Place, Self::Proxy, Self::Control, Self::Sandbox, Self::Image, Self::Storage, Self::Log];

    /// Returns the heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Place => "Places and addresses",
            Self::Proxy => "Proxy",
            Self::Control => "Control plane",
            Self::Sandbox => "Sandboxes",
            Self::Image => "Snapshots and registries",
            Self::Storage => "Object storage",
            Self::Log => "Log",
        }
    }
}

/// One setting. Its flag and its key in the file are spelt from the same `name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The key in the file, `snake_case`.
    pub name: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// Another variable of the same meaning, read when the first is not set.
    pub alias: Option<&'static str>,
    /// Where the reference lists it.
    pub section: Section,
    /// What a value looks like.
    pub kind: Kind,
    /// What holds when nobody says.
    pub fallback: Fallback,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Whether the variable is one that the original deployment used, with the same meaning.
    pub original: bool,
    /// What it does.
    pub description: &'static str,
}

impl Setting {
    /// Returns the flag, `--kebab-case`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// Returns the variables it is read from, the first wins.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.variable).chain(self.alias)
    }
}
