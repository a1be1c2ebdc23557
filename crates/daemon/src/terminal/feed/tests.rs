//! The feed cuts where it hurts nobody and keeps its pace.

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("runtime")
}

/// Takes all that is there.
async fn all(viewer: &mut Viewer, length: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < length {
        match viewer.next().await {
            News::Output(piece) => taken.extend_from_slice(&piece),
            other => panic!("{other:?} after {} bytes", taken.len()),
        }
    }
    taken
}

#[test]
fn all_see_the_same_and_who_comes_later_is_told() {
    runtime().block_on(async {
        let feed = Arc::new(Feed::default());
        let mut first = feed.view().expect("view");
        feed.push(b"one\x1b[6n ");
        let mut second = feed.view().expect("view");
        feed.push(b"two");
        assert_eq!(all(&mut first, 11).await, b"one\x1b[6n two");
        assert_eq!(all(&mut second, 7).await, b"one two", "without the question");
        feed.end(3);
        assert_eq!((first.next().await, second.next().await), (News::Ended(3), News::Ended(3)));
        assert_eq!(feed.ended().await, 3);
    });
}

#[test]
fn the_first_viewer_gets_everything_even_if_it_comes_late() {
    runtime().block_on(async {
        let feed = Arc::new(Feed::default());
        feed.push(b"who?\x1b[c");
        assert_eq!(all(&mut feed.view().expect("view"), 7).await, b"who?\x1b[c");
    });
}

#[test]
fn the_ring_is_cut_where_it_hurts_nobody() {
    runtime().block_on(async {
        let cases: [(&str, &str); 4] = [
            ("\x1b[?1049h\x1b[3", "1mrest"), // in a sequence
            ("\x1b]0;tit", "le\x07rest"),    // in a string
            ("x", "yz\nrest"),               // in a line
            ("", "\u{20ac}rest"),            // in a character, see below
        ];
        for (lost, kept) in cases {
            let feed = Arc::new(Feed::default());
            drop(feed.view());
            let mut kept = kept.as_bytes().to_vec();
            if lost.is_empty() {
                kept.remove(0);
            }
            feed.push(lost.as_bytes());
            if lost.is_empty() {
                feed.push(&[0xe2]);
            }
            feed.push(&kept);
            let cut = lost.len().max(1);
            feed.push(&vec![b'.'; RING_BYTES - kept.len()]);
            let state = feed.lock().cut.state().len();
            assert_eq!(feed.lock().lost, cut as u64);
            let mut viewer = feed.view().expect("view");
            let told = all(&mut viewer, RING_BYTES - kept.len() + 4 + state).await;
            let text = String::from_utf8(told).expect("UTF-8");
            let expected = if lost.starts_with("\x1b[?1049h") { "\x1b[?1049hrest" } else { "rest" };
            assert!(text.starts_with(&format!("{expected}...")), "{:?}", &text[..30]);
        }
    });
}

#[test]
fn who_takes_nothing_is_left_behind_and_holds_nobody_up() {
    runtime().block_on(async {
        let feed = Arc::new(Feed::default());
        let (mut quick, mut lazy) = (feed.view().expect("view"), feed.view().expect("view"));
        let piece = vec![b'x'; 32 * 1024];
        for _ in 0..64 {
            feed.room().await;
            feed.push(&piece);
            assert_eq!(all(&mut quick, piece.len()).await.len(), piece.len());
            assert!(feed.lock().ring.len() <= RING_BYTES);
        }
        assert_eq!(lazy.next().await, News::TooSlow);
    });
}

#[test]
fn without_a_quick_viewer_the_shell_waits_a_moment_and_then_goes_on() {
    runtime().block_on(async {
        let feed = Arc::new(Feed::default());
        let mut lazy = feed.view().expect("view");
        let piece = vec![b'x'; 32 * 1024];
        let start = tokio::time::Instant::now();
        for _ in 0..64 {
            feed.room().await;
            feed.push(&piece);
        }
        // The clock of this test is moved by waiting alone.
        assert_eq!(start.elapsed().as_secs(), STALL.as_secs(), "it waits once");
        assert_eq!(lazy.next().await, News::TooSlow);
        assert_eq!(feed.lock().ring.len(), RING_BYTES);
    });
}

#[test]
fn the_number_of_viewers_is_bounded_and_who_goes_makes_room() {
    let feed = Arc::new(Feed::default());
    let viewers: Vec<Viewer> = (0..VIEWERS).map(|_| feed.view().expect("view")).collect();
    feed.view().expect_err("one too many");
    drop(viewers);
    feed.view().expect("room again");
    assert!(feed.lock().viewers.is_empty());
}
