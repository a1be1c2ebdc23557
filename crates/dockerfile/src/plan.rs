//! Which stages a build needs, and what each begins with.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::instruction::Kind;
use crate::mount::MountKind;
use crate::read::{Dockerfile, Stage};
use crate::word;

/// The most stages of one Dockerfile.
const MOST_STAGES: usize = 100;

/// What a build is asked for besides the Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Values of `ARG`s.
    pub arguments: BTreeMap<String, String>,
    /// The stage to build; the last one, when there is none.
    pub target: Option<String>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nothing at all.
    Scratch,
    /// An earlier stage, by its number.
    Stage(usize),
    /// An image, by its reference.
    Image(String),
}

/// The stages that are needed, in an order in which they can be built; the target is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Their numbers.
    pub order: Vec<usize>,
    /// What each stage of the Dockerfile begins with.
    pub origins: Vec<Origin>,
    /// Values that `ARG` gives in a stage without saying them itself.
    pub globals: BTreeMap<String, String>,
    /// Values that were asked for.
    pub supplied: BTreeMap<String, String>,
    names: Vec<Option<String>>,
}

/// The platform of this builder, as registries write it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Plan {
    /// Finds what is needed.
    pub fn new(file: &Dockerfile, request: &Request) -> Result<Self, Error> {
        if let Some(stage) = file.stages.get(MOST_STAGES) {
            return Err(Error::at(
                stage.line,
                format!("more than {MOST_STAGES} stages; split the Dockerfile"),
            ));
        }
        let globals = globals(file, request)?;
        let mut plan = Self {
            order: Vec::new(),
            origins: Vec::new(),
            globals,
            supplied: request.arguments.clone(),
            names: file.stages.iter().map(|stage| stage.name.clone()).collect(),
        };
        for (number, stage) in file.stages.iter().enumerate() {
            let origin = plan.begin(number, stage, file.escape)?;
            plan.origins.push(origin);
        }
        let target = match &request.target {
            None => file.stages.len().saturating_sub(1),
            Some(target) => plan
                .stage(target, file.stages.len())
                .ok_or_else(|| Error::NoTarget { target: target.clone() })?,
        };
        let mut needed = BTreeSet::from([target]);
        // Stages need earlier ones only, so one walk down finds all.
        for number in (0..=target).rev() {
            if let Some(stage) = file.stages.get(number).filter(|_| needed.contains(&number)) {
                needed.extend(plan.needs(number, stage)?);
            }
        }
        plan.order = needed.into_iter().collect();
        Ok(plan)
    }

    fn begin(&self, number: usize, stage: &Stage, escape: char) -> Result<Origin, Error> {
        let lookup = |name: &str| self.globals.get(name).cloned();
        let expand =
            |text: &str| word::expand(text, escape, &lookup).map_err(|reason| Error::at(stage.line, reason));
        if let Some(platform) = &stage.platform {
            let platform = expand(platform)?;
            if !is_own(&platform) {
                let own = architecture();
                return Err(Error::at(
                    stage.line,
                    format!(
                        "`{platform}` cannot be built: this machine is linux/{own}; leave `--platform` out"
                    ),
                ));
            }
        }
        let from = expand(&stage.from)?;
        if from.is_empty() {
            let reason = format!("`{}` is empty; give its ARG a value before the first FROM", stage.from);
            return Err(Error::at(stage.line, reason));
        }
        if from.eq_ignore_ascii_case("scratch") {
            return Ok(Origin::Scratch);
        }
        let named = self.names.iter().take(number).position(|name| *name == Some(from.to_ascii_lowercase()));
        Ok(named.map_or(Origin::Image(from), Origin::Stage))
    }

    /// Finds a stage before `limit` by name or number.
    fn stage(&self, text: &str, limit: usize) -> Option<usize> {
        let text = text.to_ascii_lowercase();
        let named = self.names.iter().take(limit).position(|name| name.as_ref() == Some(&text));
        named.or_else(|| text.parse().ok().filter(|number| *number < limit))
    }

    /// Finds what `--from` names in an instruction of stage `number`.
    pub fn origin(&self, from: &str, number: usize) -> Origin {
        match self.stage(from, number) {
            Some(stage) => Origin::Stage(stage),
            None if from.eq_ignore_ascii_case("scratch") => Origin::Scratch,
            None => Origin::Image(from.to_owned()),
        }
    }

    fn needs(&self, number: usize, stage: &Stage) -> Result<BTreeSet<usize>, Error> {
        let mut needed = BTreeSet::new();
        if let Some(Origin::Stage(earlier)) = self.origins.get(number) {
            needed.insert(*earlier);
        }
        for instruction in &stage.instructions {
            let froms: Vec<&String> = match &instruction.kind {
                Kind::Copy(copy) => copy.from.iter().collect(),
                Kind::Run(run) => run
                    .mounts
                    .iter()
                    .filter_map(|mount| match &mount.kind {
                        MountKind::Bind { from, .. } => from.as_ref(),
                        _ => None,
                    })
                    .collect(),
                _ => Vec::new(),
            };
            for from in froms {
                let is_later = self.names.iter().skip(number).flatten().any(|name| name == from);
                if is_later {
                    let reason = format!("stage `{from}` is not there yet; move it before this one");
                    return Err(Error::at(instruction.line, reason));
                }
                if let Origin::Stage(earlier) = self.origin(from, number) {
                    needed.insert(earlier);
                }
            }
        }
        Ok(needed)
    }
}

fn is_own(platform: &str) -> bool {
    let mut parts = platform.split('/');
    let (system, architecture_part) = (parts.next().unwrap_or_default(), parts.next());
    let own = architecture();
    let alias = match own {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    };
    match architecture_part {
        None => system == "linux" || system == own || system == alias,
        Some(part) => system == "linux" && (part == own || part == alias),
    }
}

/// Gives `ARG`s before the first `FROM` their values, and those that every build has.
fn globals(file: &Dockerfile, request: &Request) -> Result<BTreeMap<String, String>, Error> {
    let own = architecture();
    let platform = format!("linux/{own}");
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for side in ["TARGET", "BUILD"] {
        for (name, value) in
            [("PLATFORM", platform.as_str()), ("OS", "linux"), ("ARCH", own), ("VARIANT", "")]
        {
            values.insert(format!("{side}{name}"), value.to_owned());
        }
    }
    for (line, name, default) in &file.globals {
        let value = match (request.arguments.get(name), default) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => {
                let lookup = |name: &str| values.get(name).cloned();
                word::expand(default, file.escape, &lookup).map_err(|reason| Error::at(*line, reason))?
            }
            (None, None) => continue,
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, request: &Request) -> Result<Plan, Error> {
        Plan::new(&Dockerfile::parse(text)?, request)
    }

    const STAGES: &str = "ARG tag=1\nFROM base:$tag AS one\nFROM other AS unused\nFROM ONE AS two\nRUN x\n\
        FROM scratch\nCOPY --from=two /a /\nCOPY --from=0 /b /\nCOPY --from=image:2 /c /\n\
        RUN --mount=from=two,target=/x y\n";

    #[test]
    fn only_stages_that_are_needed_are_built() {
        let built = plan(STAGES, &Request::default()).unwrap();
        assert_eq!(built.order, [0, 2, 3]);
        let image = |name: &str| Origin::Image(name.to_owned());
        assert_eq!(built.origins, [image("base:1"), image("other"), Origin::Stage(0), Origin::Scratch]);
        assert_eq!(built.origin("image:2", 3), image("image:2"));
        let request = Request {
            arguments: BTreeMap::from([("tag".to_owned(), "2".to_owned())]),
            target: Some("Two".to_owned()),
        };
        let built = plan(STAGES, &request).unwrap();
        assert_eq!((built.order, built.origins[0].clone()), (vec![0, 2], image("base:2")));
    }

    #[test]
    fn what_cannot_be_built_says_where() {
        for (text, part) in [
            ("FROM a AS x\nCOPY --from=y /a /\nFROM x AS y", "line 2: stage `y`"),
            ("FROM --platform=linux/s390x a", "linux/s390x"),
            ("FROM $none", "line 1"),
            ("FROM a AS 1x", "letter"),
            ("FROM a AS x\nFROM b AS x", "line 2"),
        ] {
            let error = plan(text, &Request::default()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(plan("FROM --platform=$BUILDPLATFORM a", &Request::default()).is_ok());
        let request = Request { target: Some("none".to_owned()), ..Request::default() };
        assert!(plan("FROM a", &request).is_err());
    }
}
