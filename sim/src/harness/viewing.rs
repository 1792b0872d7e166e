//! The command `view`: writes a run as a page, or as a trace for Perfetto.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::cli::RunArgs;
use super::{Scenario, View};
use crate::quiet::quietly;

/// How often what comes behind each choice is drawn anew, to explain a failure.
const RUNS: u64 = 200;

#[derive(Args)]
pub(super) struct ViewArgs {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// What is written: a page for a browser, or a trace for Perfetto and `chrome://tracing`.
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// The file. Without it, the name of the scenario with that of the format, in this folder.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Makes the failure small before, and marks the choices that are left.
    #[arg(long)]
    minimise: bool,
    /// The same, and finds the choice with which the failure became inevitable: the mark of that one stands out.
    #[arg(long)]
    explain: bool,
    /// At most so many runs to make it small.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    attempts: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Html,
    Chrome,
}

/// Writes the file, and says what is in it.
///
/// # Errors
/// Why there is nothing to write, or that it cannot be written.
pub(super) fn view(scenario: &Scenario, args: &ViewArgs) -> Result<String, String> {
    let source = args.run.source();
    let view: View = quietly(|| match (args.explain, args.minimise) {
        (true, _) => scenario.view_explained(source, args.attempts, RUNS).map(|(view, _)| view),
        (false, true) => scenario.view_minimised(source, args.attempts).map(|(view, _)| view),
        (false, false) => scenario.view(source),
    })?;
    let (text, extension) = match args.format {
        Format::Html => (view.html(), "html"),
        Format::Chrome => (view.chrome(), "trace.json"),
    };
    let default = || PathBuf::from(format!("{}.{extension}", scenario.name));
    let path = args.output.clone().unwrap_or_else(default);
    write_file(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
    let how = view.heading.failure.as_ref().map_or("held", |_| "failed");
    let mut worlds = String::new();
    if view.world_count > 1 {
        worlds = format!(", of one of its {} worlds", view.world_count);
    }
    Ok(format!(
        "{}: a run that {how}, {} events{worlds}, in {}",
        scenario.name,
        view.timeline.events.len(),
        path.display()
    ))
}

#[expect(clippy::disallowed_methods, reason = "a tool of its own, outside of any run")]
fn write_file(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}
