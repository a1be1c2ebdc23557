//! What is told of a sandbox's isolation is what is in force: sound while all is well, and not when something is wrong.

use std::os::unix::fs::MetadataExt as _;

use runner::host::Host;

use crate::ground::{Ground, explain, order};

/// Returns the layers of a running sandbox that are not in force.
fn broken(host: &Host, id: &str) -> Vec<String> {
    let found = host.isolation(id).map_err(explain).unwrap().unwrap();
    assert_eq!((found.class.as_str(), found.kernel.as_str()), ("container", "shared"));
    assert_eq!(found.layers.len(), 10, "{found:?}");
    let broken = found.layers.into_iter().filter(|layer| !layer.in_force);
    broken.map(|layer| format!("{}: {}", layer.name, layer.detail)).collect()
}

#[test]
fn every_layer_of_a_running_sandbox_is_found_in_force() {
    let ground = Ground::new();
    let spec = order();
    assert_eq!(ground.host().isolation(&spec.id).map_err(explain).unwrap(), None);
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(broken(ground.host(), &spec.id), Vec::<String>::new());
    // After a restart of the server, too, and for a blocked one.
    let ground = ground.reopen();
    assert_eq!(broken(ground.host(), &spec.id), Vec::<String>::new());
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    assert_eq!(ground.host().isolation(&spec.id).map_err(explain).unwrap(), None);
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(broken(ground.host(), &spec.id), Vec::<String>::new());
}

#[test]
fn a_limit_that_somebody_lifted_is_not_told_as_in_force() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let lifted = lift_limit_of_processes(&ground);
    assert!(lifted > 0, "no group of this sandbox was found");
    let found = broken(ground.host(), &spec.id);
    assert!(matches!(found.as_slice(), [only] if only.starts_with("limits: ")), "{found:?}");
}

/// Takes the limit off every group of the instance; returns how many there were.
fn lift_limit_of_processes(ground: &Ground) -> usize {
    let mut lifted = 0;
    for group in ground.census().groups {
        let file = std::path::Path::new(&group).join("pids.max");
        if file.metadata().is_ok_and(|metadata| metadata.mode() & 0o200 != 0) {
            std::fs::write(file, "max").unwrap();
            lifted += 1;
        }
    }
    lifted
}
