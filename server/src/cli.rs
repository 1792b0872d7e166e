//! The flags of the binary.

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// A deterministic, simulation-tested async HTTP server.
///
/// Without arguments it serves a page with its own live numbers on http://127.0.0.1:8080.
#[derive(Parser)]
#[command(name = "mainspring", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

const EXAMPLES: &str = "\
Examples:
  mainspring                                  the page, on http://127.0.0.1:8080
  mainspring --root ./public                  the files of a folder
  mainspring --listen 0.0.0.0:80 --workers 4  on every address, with four threads

It also answers /healthz, /readyz, /metrics (Prometheus) and /-/status (the page).
SIGINT and SIGTERM drain: no new connections, what runs may end within 30 seconds.
A second signal stops at once.";

#[derive(Subcommand)]
enum Command {
    /// Serves until a signal ends it; the same as no command.
    Serve(ServeArgs),
}

/// What `serve` takes.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on; may be given more than once. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Folder whose files are served.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Threads, each with an event loop of its own [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Seconds from the first signal to the start of the drain: /readyz says 503 meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) lame_duck: u64,
    /// How to log, to standard error; RUST_LOG picks what (default: info).
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Cli {
    pub(crate) fn into_serve_args(self) -> ServeArgs {
        match self.command {
            Some(Command::Serve(args)) => args,
            None => self.serve,
        }
    }
}

/// Prints what clap has to say: all of it where help was asked for, else one line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Whoever asked may have heard enough before the end: `mainspring --help | head`.
        let _ = write!(std::io::stdout(), "{}", error.render());
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    eprintln!("mainspring: {first} (--help tells what there is)");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_is_the_default_command() {
        let check = |args: &[&str]| {
            let cli = Cli::try_parse_from([&["mainspring"], args].concat());
            cli.unwrap_or_else(|error| panic!("{error}")).into_serve_args()
        };
        assert_eq!(check(&[]).listen, ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(check(&["serve", "--workers", "3"]).workers, NonZeroUsize::new(3));
        let two = check(&["--listen", "127.0.0.1:1", "--listen", "[::1]:2", "--log", "json"]);
        assert_eq!(two.listen.len(), 2);
        assert_eq!(two.log, LogFormat::Json);
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [["--workers", "0"], ["--listen", "here"], ["--log", "xml"], ["--flag", ""]] {
            assert!(
                Cli::try_parse_from([&["mainspring"], &args[..]].concat()).is_err(),
                "{args:?}"
            );
        }
    }
}
