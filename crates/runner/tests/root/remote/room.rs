//! When the disk fills up, images go that nobody needs.

use std::collections::BTreeSet;

use runner::error::chain;
use runner::image::shed::Marks;
use runner::sandbox::spec::Spec;

use super::ground::{Place, file, gzip, open_registry};
use crate::ground::{Ground, explain, order};

/// Every file system is fuller than this.
const FULL: Marks = Marks { high_percent: 0, low_percent: 0 };

#[test]
fn only_images_that_nobody_needs_go() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let ground = Ground::new();
    let tiny = std::fs::read(ground.home.path().join("tiny.tar")).unwrap();
    let seed = |name: &str, mark: &[u8]| {
        let name = format!("{}/{name}:1", server.address());
        place.seed(&name, None, &[gzip(&tiny), gzip(&file("srv/mark", mark))]);
        let order = super::ground::order(&name, None);
        let images = ground.host().images();
        images.pull(&place.remote, &order, &|_| {}).map_err(explain).unwrap().image
    };
    let (used, needed, free) = (seed("used", b"1"), seed("needed", b"2"), seed("free", b"3"));
    let spec = Spec { image: used.name.clone(), ..order() };
    ground.host().create(&spec).map_err(explain).unwrap();
    // There is room: nothing goes.
    let roomy = Marks { high_percent: 100, low_percent: 100 };
    let keep = BTreeSet::from([needed.name.clone()]);
    assert_eq!(ground.host().shed_images(&keep, roomy).map_err(explain).unwrap(), [""; 0]);
    assert_eq!(
        ground.host().shed_images(&keep, FULL).map_err(explain).unwrap(),
        std::slice::from_ref(&free.name)
    );
    let images = ground.host().images();
    assert!(images.find_whole(&free.name).is_err());
    // Its own layer went with it; the one that others have, and that was imported, stayed.
    assert!(!images.layer(&free.layers[0]).is_dir());
    assert!(images.layer(&free.layers[1]).is_dir());
    for image in [&used, &needed] {
        images.find_whole(&image.name).map_err(explain).unwrap();
    }
    images.find_whole("tiny").map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "cat /srv/mark").1, "1");
    // By name, too, only what nobody needs.
    let refused = ground.host().remove_image(&used.name).unwrap_err();
    assert!(chain(&refused).contains("sandboxes on this host"), "{}", chain(&refused));
    assert!(ground.host().remove_image("tiny").is_err());
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    for image in [&used, &needed] {
        ground.host().remove_image(&image.name).map_err(explain).unwrap();
        ground.host().remove_image(&image.name).map_err(explain).unwrap();
        assert!(images.find(&image.name).unwrap().is_none());
    }
    let again = Spec { image: "tiny".to_owned(), ..order() };
    ground.host().create(&again).map_err(explain).unwrap();
    ground.host().destroy(&again.id).map_err(explain).unwrap();
}

#[test]
fn what_is_being_made_stays() {
    let ground = Ground::new();
    let images = ground.host().images();
    let draft = images.draft().map_err(explain).unwrap();
    std::fs::write(draft.tree().join("a"), "a").unwrap();
    let added = images.add_layer(draft).map_err(explain).unwrap();
    let other = images.draft().map_err(explain).unwrap();
    let nothing = BTreeSet::new();
    ground.host().shed_images(&nothing, FULL).map_err(explain).unwrap();
    assert!(images.layer(&added.layer).join("a").is_file() && other.tree().is_dir());
    let layer = images.layer(&added.layer);
    drop(added);
    ground.host().shed_images(&nothing, FULL).map_err(explain).unwrap();
    assert!(!layer.exists() && other.tree().is_dir());
}
