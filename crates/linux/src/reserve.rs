//! Space that is taken before it is needed (fallocate(2)).

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::FallocateFlags;

/// Takes blocks for the next `bytes` that are written at the end of the file at `path`, whose length stays as it is. On
/// a disk that fills up later, they can still be written.
pub fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let end = file.metadata()?.len();
    Ok(rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, end, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn the_blocks_are_there_and_the_length_stays() {
        let path = std::env::temp_dir().join(format!("reserve-{}", std::process::id()));
        std::fs::write(&path, b"x").unwrap();
        reserve(&path, 1 << 20).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 1);
        assert!(metadata.blocks() * 512 >= 1 << 20, "{} blocks", metadata.blocks());
        std::fs::remove_file(path).unwrap();
    }
}
