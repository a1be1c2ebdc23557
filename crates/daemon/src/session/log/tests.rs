//! The log keeps the ends, lets the oldest go, and tells every follower the same.

use super::*;

async fn read_all(log: &Log, cursor: &mut Cursor) -> (Vec<u8>, Vec<u8>, [u64; 2]) {
    let (mut output, mut errors, mut omitted) = (Vec::new(), Vec::new(), [0; 2]);
    loop {
        let pieces = log.read(cursor).await;
        if pieces.is_empty() {
            return (output, errors, omitted);
        }
        for piece in pieces {
            match piece {
                Piece::Printed(Stream::Output, bytes) => output.extend_from_slice(&bytes),
                Piece::Printed(Stream::Errors, bytes) => errors.extend_from_slice(&bytes),
                Piece::Omitted(stream, bytes) => omitted[index(stream)] += bytes,
            }
        }
    }
}

fn log() -> Log {
    Log::new(Arc::new(Stock::default()))
}

#[tokio::test]
async fn what_is_short_comes_back_as_it_was() {
    let log = log();
    let mut cursor = Cursor::default();
    assert_eq!(read_all(&log, &mut cursor).await, (vec![], vec![], [0, 0]));
    log.append(Stream::Output, b"one").await;
    log.append(Stream::Errors, b"two").await;
    assert_eq!(read_all(&log, &mut cursor).await, (b"one".to_vec(), b"two".to_vec(), [0, 0]));
    log.append(Stream::Output, b"three").await;
    assert_eq!(read_all(&log, &mut cursor).await, (b"three".to_vec(), vec![], [0, 0]));
    assert_eq!(log.printed_bytes(), 11);
}

#[tokio::test]
async fn what_is_long_keeps_its_beginning_and_its_end_and_counts_the_rest() {
    let log = log();
    log.append(Stream::Errors, b"first").await;
    let block = vec![b'x'; 1_000_000];
    for _ in 0..60 {
        log.append(Stream::Output, &block).await;
    }
    log.append(Stream::Output, b"last").await;
    let kept: u64 = log.state().segments.iter().map(|segment| segment.length).sum();
    assert!(
        (HEAD_BYTES + TAIL_BYTES..HEAD_BYTES + TAIL_BYTES + 3 * 4 * 1024 * 1024).contains(&kept),
        "{kept}"
    );
    let (output, errors, omitted) = read_all(&log, &mut Cursor::default()).await;
    assert_eq!(errors, b"first");
    assert!(output.starts_with(b"xxx") && output.ends_with(b"xlast"));
    assert_eq!((output.len() as u64 + omitted[0], omitted[1]), (60_000_004, 0));
}

#[tokio::test]
async fn a_reader_that_keeps_up_misses_nothing_and_one_that_does_not_is_told() {
    let log = log();
    let (mut quick, mut slow) = (Cursor::default(), Cursor::default());
    let block = vec![b'y'; 300_000];
    log.append(Stream::Output, b"begin").await;
    assert_eq!(log.read(&mut slow).await, [Piece::Printed(Stream::Output, Bytes::from_static(b"begin"))]);
    let mut seen = 0;
    for _ in 0..200 {
        log.append(Stream::Output, &block).await;
        let (output, _, omitted) = read_all(&log, &mut quick).await;
        assert_eq!(omitted, [0, 0]);
        seen += output.len();
    }
    assert_eq!(seen, 5 + 200 * 300_000);
    let (output, _, omitted) = read_all(&log, &mut slow).await;
    assert!(omitted[0] > 0);
    assert_eq!(output.len() as u64 + omitted[0], 200 * 300_000);
}

#[tokio::test]
async fn the_oldest_ended_logs_make_room() {
    let stock = Arc::new(Stock::default());
    let block = vec![b'z'; 1_000_000];
    let mut ended = Vec::new();
    for _ in 0..24 {
        let log = Arc::new(Log::new(Arc::clone(&stock)));
        for _ in 0..16 {
            log.append(Stream::Output, &block).await;
        }
        let kept: Arc<dyn Kept> = Arc::clone(&log) as _;
        stock.has_ended(Arc::downgrade(&kept));
        ended.push(log);
    }
    let (output, _, omitted) = read_all(&ended[0], &mut Cursor::default()).await;
    assert_eq!((output.len(), omitted[0]), (0, 16_000_000), "the oldest went");
    let (output, _, omitted) = read_all(&ended[23], &mut Cursor::default()).await;
    assert_eq!((output.len(), omitted[0]), (16_000_000, 0), "the newest is whole");
    // It may go on all the same.
    ended[0].append(Stream::Output, b"more").await;
    let (output, _, omitted) = read_all(&ended[0], &mut Cursor::default()).await;
    assert_eq!((output.as_slice(), omitted[0]), (&b"more"[..], 16_000_000));
}

#[tokio::test]
async fn a_log_that_nobody_can_read_any_more_keeps_nothing() {
    let log = log();
    log.append(Stream::Output, b"some").await;
    log.clear(true);
    log.append(Stream::Output, b"more").await;
    let (output, _, omitted) = read_all(&log, &mut Cursor::default()).await;
    assert_eq!((output.len(), omitted[0]), (0, 8));
}

#[tokio::test]
async fn without_a_disk_a_little_is_kept_in_memory() {
    let log = log();
    log.state().has_no_disk = true;
    for _ in 0..500 {
        log.append(Stream::Output, &[b'm'; 10_000]).await;
    }
    log.append(Stream::Output, b"end").await;
    let kept: u64 = log.state().segments.iter().map(|segment| segment.length).sum();
    assert!(kept <= 4 * 32 * 1024, "{kept}");
    let (output, _, omitted) = read_all(&log, &mut Cursor::default()).await;
    assert!(output.ends_with(b"mend"));
    assert_eq!(output.len() as u64 + omitted[0], 5_000_003);
}
