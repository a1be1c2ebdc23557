//! Prints `docs/reference/configuration.md`; `cargo x fix` writes the page with it.

#[expect(clippy::print_stdout, reason = "printing the page is all that this program does")]
fn main() {
    print!("{}", service::reference::markdown());
}
