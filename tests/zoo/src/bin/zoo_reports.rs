//! Prints `docs/REPORTS.md`: what is said of ten failures of the zoo.

fn main() {
    // Panics are what is looked for.
    std::panic::set_hook(Box::new(|_| {}));
    print!("{}", mainspring_zoo::reports());
}
