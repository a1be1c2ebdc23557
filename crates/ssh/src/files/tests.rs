//! Requests of every kind, and of no kind.

use super::server::Server;
use crate::encoding::{Reader, Writer as _};

/// Answers a request whose number is 9 and returns the answer's kind and what is behind its number.
fn ask(server: &mut Server, kind: u8, rest: impl AsRef<[u8]>) -> (u8, Vec<u8>) {
    let answer = server.answer(&Vec::new().byte(kind).number(9).raw(rest.as_ref())).unwrap();
    let mut reader = Reader::new(&answer);
    let mut body = Reader::new(reader.string().unwrap());
    assert!(reader.rest().is_empty());
    let kind = body.byte().unwrap();
    assert_eq!(body.number().unwrap(), 9);
    (kind, body.rest().to_vec())
}

/// Returns the number of an answer that has only one.
fn status(server: &mut Server, kind: u8, rest: impl AsRef<[u8]>) -> u32 {
    let (kind, body) = ask(server, kind, rest);
    assert_eq!(kind, 101);
    Reader::new(&body).number().unwrap()
}

fn path(directory: &tempfile::TempDir, name: &str) -> Vec<u8> {
    Vec::new().string(directory.path().join(name).to_str().unwrap().as_bytes())
}

#[test]
fn a_file_is_made_changed_read_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let server = &mut Server::default();
    let (kind, body) = ask(server, 3, path(&directory, "a").number(2 | 1 | 8).number(4).number(0o640));
    assert_eq!(kind, 102);
    let handle = || Vec::new().string(Reader::new(&body).string().unwrap());
    assert_eq!(status(server, 6, handle().long(0).string(b"hello")), 0);
    assert_eq!(status(server, 6, handle().long(5).string(b" world")), 0);
    let (kind, data) = ask(server, 5, handle().long(6).number(1 << 30));
    assert_eq!((kind, Reader::new(&data).string().unwrap()), (103, &b"world"[..]));
    assert_eq!(status(server, 5, handle().long(11).number(10)), 1, "the end");
    assert_eq!(status(server, 10, handle().number(1).long(5)), 0);
    let (kind, attributes) = ask(server, 8, handle());
    let mut attributes = Reader::new(&attributes);
    assert_eq!((kind, attributes.number().unwrap(), attributes.long().unwrap()), (105, 15, 5));
    assert_eq!(status(server, 4, handle()), 0);
    assert_eq!(status(server, 4, handle()), 4, "closed already");
    assert_eq!(status(server, 5, handle().long(0).number(1)), 4);
    assert_eq!(status(server, 9, path(&directory, "a").number(4 | 8).number(0o600).number(1).number(2)), 0);
    let metadata = std::fs::metadata(directory.path().join("a")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    assert_eq!((metadata.len(), mode & 0o7777), (5, 0o600));
    assert_eq!(std::os::unix::fs::MetadataExt::mtime(&metadata), 2);
    assert_eq!(status(server, 13, path(&directory, "a")), 0);
    assert_eq!(status(server, 13, path(&directory, "a")), 2, "no such file");
}

#[test]
fn names_are_listed_renamed_and_linked() {
    let directory = tempfile::tempdir().unwrap();
    let server = &mut Server::default();
    for number in 0..300 {
        std::fs::write(directory.path().join(format!("file-{number}")), "x").unwrap();
    }
    assert_eq!(status(server, 14, path(&directory, "d").number(0)), 0);
    assert_eq!(status(server, 20, Vec::new().string(b"file-1").raw(&path(&directory, "link"))), 0);
    let (_, target) = ask(server, 19, path(&directory, "link"));
    let mut target = Reader::new(&target);
    assert_eq!((target.number().unwrap(), target.string().unwrap()), (1, &b"file-1"[..]));
    let (kind, handle) = ask(server, 11, path(&directory, ""));
    assert_eq!(kind, 102);
    let mut found = 0;
    let last = loop {
        let (kind, names) = ask(server, 12, &handle);
        if kind == 101 {
            break Reader::new(&names).number().unwrap();
        }
        found += Reader::new(&names).number().unwrap();
    };
    assert_eq!((found, last), (300 + 4, 1), "with the directory, the link, and both dots");
    assert_eq!(status(server, 18, path(&directory, "file-0").raw(&path(&directory, "file-1"))), 4, "exists");
    assert_eq!(status(server, 18, path(&directory, "file-0").raw(&path(&directory, "new"))), 0);
    let replace = Vec::new().string(b"posix-rename@openssh.com").raw(&path(&directory, "new"));
    assert_eq!(status(server, 200, replace.raw(&path(&directory, "file-1"))), 0);
    assert_eq!(status(server, 15, path(&directory, "d")), 0);
    let (_, real) = ask(server, 16, path(&directory, "not/../there/.."));
    assert_eq!(Reader::new(&real).number().unwrap(), 2, "a path whose middle is missing");
    let (kind, real) = ask(server, 16, path(&directory, "missing"));
    let mut real = Reader::new(&real);
    assert_eq!((kind, real.number().unwrap()), (104, 1));
    assert!(real.string().unwrap().ends_with(b"/missing"));
}

#[test]
fn nonsense_is_answered_and_opens_nothing() {
    let server = &mut Server::default();
    for (kind, rest) in [
        (3, vec![]),
        (3, Vec::new().string(b"a\0b").number(1).number(0)),
        (5, Vec::new().string(b"handle").long(0).number(1)),
        (9, Vec::new().string(b"/tmp").number(0x8000_0000).number(u32::MAX)),
        (12, Vec::new().string(&[0, 0, 0, 0])),
        (99, Vec::new().string(b"/tmp")),
        (200, Vec::new().string(b"unknown@example.com")),
        (6, Vec::new().string(&[0xff; 4]).long(u64::MAX).string(b"x")),
    ] {
        assert_ne!(status(server, kind, rest), 0, "{kind}");
    }
    server.answer(&[]).unwrap_err();
    server.answer(&[3, 0]).unwrap_err();
    let (mut packet, long) = (Vec::new(), [0, 4, 0, 1, 3]);
    super::read_packet(&mut &long[..], &mut packet).unwrap_err();
    super::read_packet(&mut &[0, 0, 0, 0][..], &mut packet).unwrap_err();
    super::read_packet(&mut &[0, 0, 0, 9, 1][..], &mut packet).unwrap_err();
    assert!(!super::read_packet(&mut &[][..], &mut packet).unwrap());
}
