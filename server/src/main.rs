//! The `mainspring` binary: flags in, one server on as many shards as asked for.

mod cli;
mod log;

use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use mainspring::app::App;
use mainspring::{Balance, Server, Shutdown, Summary, Telemetry, Timeouts};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::file::File;
use mainspring_executor::net::TcpListener;
use mainspring_executor::os::{available_cores, reserve_address, run_shards};

use crate::cli::{Cli, ServeArgs};

/// Why the binary ends with something other than success.
enum Failure {
    /// What was asked for cannot be meant: status 2.
    Usage(String),
    /// The system refused: status 1.
    System(String),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::explain(&error),
    };
    let args = cli.into_serve_args();
    let log = log::start(args.log);
    let served = serve(&args);
    // Writes what is still in its queue.
    drop(log);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mainspring: {failure}");
            failure.status()
        }
    }
}

/// Runs the server until a signal ends it.
fn serve(args: &ServeArgs) -> Result<(), Failure> {
    if let Some(root) = &args.root {
        check_folder(root)?;
    }
    let addresses = args.listen.iter().map(|address| reserve(*address));
    let addresses: Vec<SocketAddr> = addresses.collect::<Result<_, _>>()?;
    let workers = args.workers.unwrap_or_else(available_cores);
    let options = ListenOptions { reuse_port: workers.get() > 1, ..ListenOptions::default() };
    let plan = Plan {
        addresses,
        options,
        telemetry: Telemetry::new(),
        root: args.root.clone(),
        timeouts: Timeouts {
            lame_duck: Duration::from_secs(args.lame_duck),
            ..Timeouts::default()
        },
        still_to_listen: Arc::new(AtomicUsize::new(workers.get())),
    };
    let balance = Mutex::new(Balance::among(workers));
    let outputs = run_shards(workers, |_| {
        let balance = balance.lock().unwrap_or_else(PoisonError::into_inner).pop();
        serve_shard(plan.clone(), balance.expect("a part for each worker"))
    });
    let mut connections_cut = 0;
    for output in outputs {
        let summary = output
            .and_then(|served| served)
            .map_err(|error| Failure::System(format!("the server ended: {error}")))?;
        connections_cut += summary.connections_cut;
    }
    match connections_cut {
        0 => tracing::info!("stopped, all connections in good order"),
        cut => tracing::warn!("stopped, {cut} connections were cut"),
    }
    Ok(())
}

/// What each shard serves.
#[derive(Clone)]
struct Plan {
    addresses: Vec<SocketAddr>,
    options: ListenOptions,
    telemetry: Telemetry,
    root: Option<PathBuf>,
    timeouts: Timeouts,
    /// Shards that do not listen yet.
    still_to_listen: Arc<AtomicUsize>,
}

async fn serve_shard(plan: Plan, balance: Balance) -> io::Result<Summary> {
    let Plan { addresses, options, telemetry, root, timeouts, still_to_listen } = plan;
    let shutdown = Shutdown::on_signals()?;
    let listeners = addresses.iter().map(|address| TcpListener::bind(*address, options));
    let listeners = listeners.collect::<io::Result<_>>()?;
    // The last one says so: whoever reads it may connect, and a signal reaches all of them.
    if still_to_listen.fetch_sub(1, Ordering::Relaxed) == 1 {
        for address in &addresses {
            tracing::info!("listening on http://{address}");
        }
    }
    let app = App::new(telemetry.clone(), root, shutdown.clone());
    let server = Server::new(app).timeouts(timeouts).telemetry(&telemetry).balance(balance);
    Ok(server.serve(listeners, shutdown).await)
}

/// Finds out whether an address is free before any shard starts.
fn reserve(address: SocketAddr) -> Result<SocketAddr, Failure> {
    reserve_address(address).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => " (--listen takes another, port 0 any free one)",
            _ => "",
        };
        Failure::System(format!("cannot listen on {address}: {}{hint}", plain(&error)))
    })
}

/// Finds out whether `root` is a folder that can be read.
fn check_folder(root: &Path) -> Result<(), Failure> {
    let (root, name) = (root.to_owned(), root.display().to_string());
    let one = core::num::NonZeroUsize::MIN;
    let mut outputs = run_shards(one, |_| {
        let opened = File::open(root.clone(), PathBuf::new());
        async { opened.await.map(|file| file.is_folder()) }
    });
    let is_folder = outputs.pop().expect("one shard gives one output").and_then(|opened| opened);
    match is_folder {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Usage(format!("--root {name}: not a folder"))),
        Err(error) => Err(Failure::Usage(format!("--root {name}: {}", plain(&error)))),
    }
}

/// The system's message without the number that Rust puts behind it.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((message, _)) => message.to_lowercase(),
        None => text,
    }
}

impl Failure {
    fn status(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::System(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::System(message) => f.write_str(message),
        }
    }
}
