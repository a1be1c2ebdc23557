//! Pseudo-terminals (`pty(7)`, `ioctl_tty(2)`).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::errno::{CallError, Context as _};

/// How many characters a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pair {
    /// Our end: what is written to it is typed, what is read from it is shown. Reads and writes never wait.
    pub screen: OwnedFd,
    /// The programs' end.
    pub line: OwnedFd,
}

/// Opens a pseudo-terminal of the file system that is mounted at `/dev/pts`.
///
/// Its device belongs to the user as whom the calling thread opens files.
pub fn open(window: Window) -> Result<Pair, CallError> {
    // Ours is nobody's controlling terminal: only the program that gets the other end is to be hung up.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = rustix::pty::openpt(flags).context("open", "/dev/ptmx")?;
    rustix::pty::unlockpt(&screen).context("ioctl", "TIOCSPTLCK")?;
    // By descriptor: a path below /dev/pts could lead into another instance of the file system.
    let line = rustix::pty::ioctl_tiocgptpeer(&screen, flags).context("ioctl", "TIOCGPTPEER")?;
    resize(&screen, window)?;
    let status = rustix::fs::fcntl_getfl(&screen).context("fcntl", "F_GETFL")?;
    rustix::fs::fcntl_setfl(&screen, status | OFlags::NONBLOCK).context("fcntl", "F_SETFL")?;
    Ok(Pair { screen, line })
}

/// Changes how much a terminal shows; its foreground programs are told by `SIGWINCH`.
pub fn resize(terminal: impl AsFd, window: Window) -> Result<(), CallError> {
    let size = Winsize { ws_col: window.columns, ws_row: window.rows, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).context("ioctl", "TIOCSWINSZ")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_typed_at_one_end_is_read_at_the_other_and_echoed() {
        let pair = open(Window { columns: 81, rows: 25 }).expect("a terminal");
        let size = rustix::termios::tcgetwinsize(&pair.line).expect("size");
        assert_eq!((size.ws_col, size.ws_row), (81, 25));
        resize(&pair.screen, Window { columns: 40, rows: 10 }).expect("resize");
        let size = rustix::termios::tcgetwinsize(&pair.line).expect("size");
        assert_eq!((size.ws_col, size.ws_row), (40, 10));

        let mut buffer = [0_u8; 64];
        assert_eq!(rustix::io::read(&pair.screen, &mut buffer), Err(rustix::io::Errno::AGAIN), "never waits");
        rustix::io::write(&pair.screen, b"typed\n").expect("type");
        let length = rustix::io::read(&pair.line, &mut buffer).expect("read the line");
        assert_eq!(&buffer[..length], b"typed\n");
        std::fs::File::from(pair.line).write_all(b"shown").expect("print");
        // Echo and output, with the line feed as terminals want it; they may come one after the other.
        let (expected, mut shown) = (b"typed\r\nshown", Vec::new());
        for _ in 0..10_000 {
            match rustix::io::read(&pair.screen, &mut buffer) {
                Ok(length) => shown.extend_from_slice(&buffer[..length]),
                Err(error) => assert_eq!(error, rustix::io::Errno::AGAIN),
            }
            if shown.len() >= expected.len() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_no_terminal_has_no_size() {
        let file = std::fs::File::open("/dev/null").expect("open");
        let error = resize(&file, Window { columns: 1, rows: 1 }).expect_err("no terminal");
        assert_eq!(error.errno(), libc::ENOTTY);
    }
}
