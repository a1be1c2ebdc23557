//! Decides which images go when the disk fills up. Pure: what there is goes in, names come out.

use std::collections::BTreeMap;

/// How full a file system may be, in per cent of its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Above this, images go …
    pub high_percent: u8,
    /// … until it is no fuller than this.
    pub low_percent: u8,
}

impl Default for Marks {
    fn default() -> Self {
        Self { high_percent: 80, low_percent: 70 }
    }
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Its size.
    pub total_bytes: u64,
    /// What cannot be written to.
    pub used_bytes: u64,
}

impl Marks {
    /// Tells whether something has to go.
    pub(super) fn is_exceeded(self, usage: Usage) -> bool {
        usage.used_bytes > share(usage.total_bytes, self.high_percent)
    }
}

fn share(bytes: u64, percent: u8) -> u64 {
    bytes / 100 * u64::from(percent.min(100))
}

/// An image, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) layers: Vec<String>,
    /// When it was used last; only to compare.
    pub(super) used_at: u128,
    /// Whether it can be had again, and nobody needs it now.
    pub(super) may_go: bool,
}

/// Chooses the images that go, those that were used longest ago first, until what is left is below the lower mark.
/// `layer_bytes` tells what goes with a layer; a layer goes with the last image that has it.
pub(super) fn choose(
    images: &[Candidate],
    layer_bytes: &BTreeMap<String, u64>,
    usage: Usage,
    marks: Marks,
) -> Vec<String> {
    if !marks.is_exceeded(usage) {
        return Vec::new();
    }
    let goal = share(usage.total_bytes, marks.low_percent.min(marks.high_percent));
    let mut needed: BTreeMap<&str, usize> = BTreeMap::new();
    for layer in images.iter().flat_map(|image| &image.layers) {
        *needed.entry(layer).or_default() += 1;
    }
    let mut leaving: Vec<&Candidate> = images.iter().filter(|image| image.may_go).collect();
    leaving.sort_by(|left, right| (left.used_at, &left.name).cmp(&(right.used_at, &right.name)));
    let (mut left, mut chosen) = (usage.used_bytes, Vec::new());
    for image in leaving {
        if left <= goal {
            break;
        }
        for layer in &image.layers {
            let Some(count) = needed.get_mut(layer.as_str()) else { continue };
            *count -= 1;
            if *count == 0 {
                left = left.saturating_sub(layer_bytes.get(layer).copied().unwrap_or_default());
            }
        }
        chosen.push(image.name.clone());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARKS: Marks = Marks { high_percent: 80, low_percent: 70 };

    fn image(name: &str, layers: &[&str], used_at: u128, may_go: bool) -> Candidate {
        let layers = layers.iter().map(|&layer| layer.to_owned()).collect();
        Candidate { name: name.to_owned(), layers, used_at, may_go }
    }

    fn bytes(layers: &[(&str, u64)]) -> BTreeMap<String, u64> {
        layers.iter().map(|&(layer, bytes)| (layer.to_owned(), bytes)).collect()
    }

    fn full(used_bytes: u64) -> Usage {
        Usage { total_bytes: 1000, used_bytes }
    }

    #[test]
    fn the_oldest_go_until_there_is_room() {
        let images = [
            image("new", &["n"], 30, true),
            image("old", &["o"], 10, true),
            image("used", &["u"], 1, false),
            image("middle", &["m"], 20, true),
        ];
        let sizes = bytes(&[("n", 100), ("o", 60), ("m", 60), ("u", 500)]);
        assert!(choose(&images, &sizes, full(800), MARKS).is_empty());
        assert_eq!(choose(&images, &sizes, full(801), MARKS), ["old", "middle"]);
        assert_eq!(choose(&images, &sizes, full(850), MARKS), ["old", "middle", "new"]);
        assert_eq!(choose(&images, &sizes, full(1000), MARKS), ["old", "middle", "new"]);
    }

    #[test]
    fn a_layer_counts_with_its_last_image() {
        let images = [
            image("a", &["shared", "a"], 1, true),
            image("b", &["shared", "b"], 2, true),
            image("c", &["c"], 3, true),
        ];
        let sizes = bytes(&[("shared", 300), ("a", 1), ("b", 1), ("c", 300)]);
        assert_eq!(choose(&images, &sizes, full(900), MARKS), ["a", "b"]);
        let kept = [images[0].clone(), Candidate { may_go: false, ..images[1].clone() }, images[2].clone()];
        assert_eq!(choose(&kept, &sizes, full(900), MARKS), ["a", "c"]);
    }

    proptest! {
        #[test]
        fn what_is_needed_never_goes(
            images in prop::collection::vec((prop::collection::vec(0..6_u8, 0..4), 0..9_u128, any::<bool>()), 0..8),
            used in 0..2000_u64,
            low in any::<u8>(),
            high in any::<u8>(),
        ) {
            let images: Vec<Candidate> = images.into_iter().enumerate().map(|(number, (layers, used_at, may_go))| {
                let layers = layers.into_iter().map(|layer| layer.to_string()).collect();
                Candidate { name: number.to_string(), layers, used_at, may_go }
            }).collect();
            let sizes = (0..6_u64).map(|layer| (layer.to_string(), layer * 100)).collect();
            let marks = Marks { high_percent: high, low_percent: low };
            let chosen = choose(&images, &sizes, full(used), marks);
            for name in &chosen {
                prop_assert!(images.iter().any(|image| image.name == *name && image.may_go));
            }
            prop_assert!(chosen.is_empty() || marks.is_exceeded(full(used)));
        }
    }
}
