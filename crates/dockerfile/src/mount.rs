//! `RUN --mount=…`: what a step finds in its file system besides the image.

/// A mount as it was written; its variables are not expanded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where.
    pub target: String,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A directory that stays from build to build.
    Cache {
        /// Names it; its target does when there is no name.
        id: Option<String>,
        /// What it has at first and where it is in that: a stage or an image.
        mode: u32,
        /// Owner of its root.
        user_id: u32,
        /// Group of its root.
        group_id: u32,
    },
    /// Files of a stage, an image or the context, which cannot be changed.
    Bind {
        /// The stage or the image; the context when there is none.
        from: Option<String>,
        /// Where they are in it.
        source: String,
    },
    /// An empty file system in memory.
    Memory {
        /// How large it may become.
        size_bytes: Option<u64>,
    },
}

/// What a mount's text may say, field by field.
#[derive(Default)]
struct Fields {
    kind: Option<String>,
    target: Option<String>,
    source: Option<String>,
    from: Option<String>,
    id: Option<String>,
    is_writable: Option<bool>,
    mode: Option<u32>,
    user_id: Option<u32>,
    group_id: Option<u32>,
    size_bytes: Option<u64>,
}

impl Mount {
    /// Reads what stands behind `--mount=`. The error says what is wrong and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields = Fields::default();
        for field in text.split(',') {
            fields.read(field.trim().trim_matches('"'))?;
        }
        fields.mount()
    }
}

impl Fields {
    fn read(&mut self, field: &str) -> Result<(), String> {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let text = || Some(value.to_owned());
        let number = |radix| {
            u32::from_str_radix(value, radix).map(Some).map_err(|_| format!("`{field}` is no number"))
        };
        match name.to_ascii_lowercase().as_str() {
            "type" => self.kind = text(),
            "target" | "dst" | "destination" => self.target = text(),
            "source" | "src" => self.source = text(),
            "from" => self.from = text(),
            "id" => self.id = text(),
            "rw" | "readwrite" => self.is_writable = Some(value != "false"),
            "ro" | "readonly" => self.is_writable = Some(value == "false"),
            // Builds of one tenant share a cache, as `shared` says; that is also right for the others.
            "sharing" if matches!(value, "shared" | "private" | "locked") => {}
            "mode" => self.mode = number(8)?,
            "uid" => self.user_id = number(10)?,
            "gid" => self.group_id = number(10)?,
            "size" => self.size_bytes = Some(bytes(value).ok_or_else(|| format!("`{field}` is no size"))?),
            "required" | "env" => {}
            _ => return Err(format!("`{field}` of `--mount` is not known; leave it out")),
        }
        Ok(())
    }

    fn mount(self) -> Result<Mount, String> {
        let kind = self.kind.as_deref().unwrap_or("bind").to_owned();
        if matches!(kind.as_str(), "secret" | "ssh") {
            return Err(format!(
                "`--mount=type={kind}` is not built: builds have no secrets; fetch what needs one before, and COPY it"
            ));
        }
        let target = self.target.filter(|target| !target.is_empty());
        let target = target.ok_or_else(|| "`--mount` needs `target=/a/directory`".to_owned())?;
        let kind = match kind.as_str() {
            "cache" if self.from.is_some() || self.source.is_some() => {
                return Err(
                    "a cache that begins with files is not built; leave `from` and `source` out".to_owned()
                );
            }
            "cache" => MountKind::Cache {
                id: self.id,
                mode: self.mode.unwrap_or(0o755) & 0o7777,
                user_id: self.user_id.unwrap_or_default(),
                group_id: self.group_id.unwrap_or_default(),
            },
            "bind" if self.is_writable == Some(true) => {
                return Err(
                    "a bind mount that can be written to is not built; COPY the files to change them"
                        .to_owned(),
                );
            }
            "bind" => MountKind::Bind { from: self.from, source: self.source.unwrap_or_default() },
            "tmpfs" => MountKind::Memory { size_bytes: self.size_bytes },
            other => {
                return Err(format!("`--mount=type={other}` is not known; use bind, cache or tmpfs"));
            }
        };
        Ok(Mount { kind, target })
    }
}

fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)?.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_or_refused_with_a_remedy() {
        let cache = Mount::parse("type=cache,target=/root/.cache,id=pip,sharing=locked,uid=1000").unwrap();
        let id = Some("pip".to_owned());
        assert_eq!(cache.kind, MountKind::Cache { id, mode: 0o755, user_id: 1000, group_id: 0 });
        let bind = Mount::parse("target=/src,from=build,source=/out,ro").unwrap();
        let (from, source) = (Some("build".to_owned()), "/out".to_owned());
        assert_eq!(bind.kind, MountKind::Bind { from, source });
        let memory = Mount::parse("type=tmpfs,dst=/tmp,size=16m").unwrap();
        assert_eq!(memory.kind, MountKind::Memory { size_bytes: Some(16 << 20) });
        for (text, part) in [
            ("type=secret,id=x", "secret"),
            ("type=ssh", "ssh"),
            ("type=cache", "target"),
            ("type=bind,target=/x,rw", "COPY"),
            ("type=disk,target=/x", "disk"),
            ("type=tmpfs,target=/x,size=1q", "size"),
            ("target=/x,colour=red", "colour"),
        ] {
            let error = Mount::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
