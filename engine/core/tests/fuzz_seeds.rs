//! The fuzz targets with their seeds, and with every piece of each seed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

#[test]
fn every_target_takes_its_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, target) in targets::TARGETS {
        let mut count = 0;
        for seed in std::fs::read_dir(folder.join(name)).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            target(&bytes);
            for cut in (0..bytes.len()).step_by(bytes.len().div_ceil(64).max(1)) {
                target(&bytes[..cut]);
                let mut damaged = bytes.clone();
                damaged[cut] ^= 1 << (cut % 8);
                target(&damaged);
            }
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
