//! Runs every kept input of every target: whatever broke something once does not break it again.

use std::path::Path;

#[test]
fn every_kept_input_is_harmless() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in fuzz::TARGETS {
        let folder = corpus.join(target.name);
        let mut count = 0;
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("entry").path();
            let bytes = std::fs::read(&path).expect("input");
            let outcome = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(outcome.is_ok(), "{} breaks {}", path.display(), target.name);
            count += 1;
        }
        assert!(count > 0, "no input is kept for {}", target.name);
    }
}
