//! A chat room over TCP: each line that a guest says goes to all others.
//!
//! `cargo run -p mainspring-executor --example chat`, then `nc 127.0.0.1 7000` in two terminals. Ctrl-C ends it: nobody new
//! is let in, all are told, and who does not read that in time is cut off.
//!
//! The room itself, [`chat`], knows nothing of the process around it. The tests run the same function in the simulator.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::os::OsDriver;
use mainspring_executor::signal::Signals;
use mainspring_executor::sync::broadcast::{self, RecvError, Sender};
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{CancelToken, Scope, Shard, select};

/// The longest line, its end included. Who says more is shown out.
pub(crate) const LINE_BYTES_MAX: usize = 1024;

/// By how many lines a guest may be behind; then it misses the oldest, and is told so.
pub(crate) const LINES_BEHIND_MAX: usize = 64;

/// How long a guest may take to read a line.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long all of them may take to read what was said before the end.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

#[allow(dead_code, reason = "the tests have a main of their own")]
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let address: SocketAddr = address.parse().map_err(|error| {
        let text = format!("{address}: {error}; an address is like 127.0.0.1:7000");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let shard = Shard::new(Rc::new(OsDriver::new()?));
    shard.run(async move {
        let mut signals = Signals::subscribe()?;
        let listener = TcpListener::bind(address, ListenOptions::default())?;
        println!("the room is at {}", listener.local_addr()?);
        let closing = async move {
            // Where signals cannot be watched any more, it is better to close than to stay open for ever.
            let _ = signals.next().await;
        };
        let cut = chat(listener, closing).await;
        println!("the room is closed; {cut} guests were cut off");
        Ok(())
    })?
}

/// A line, and who said it.
#[derive(Clone)]
struct Line {
    guest: SocketAddr,
    text: Rc<str>,
}

/// Keeps the room open until `closing` is ready; then gives all guests [`FAREWELL`] to read what was said. Gives how many
/// were cut off.
pub(crate) async fn chat(listener: TcpListener, closing: impl Future<Output = ()>) -> usize {
    let (room, _) = broadcast::channel(LINES_BEHIND_MAX);
    let guests = Scope::new();
    let mut closing = core::pin::pin!(closing);
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, guest)) => {
                    let (room, closing) = (room.clone(), guests.token());
                    drop(guests.spawn(async move { host(stream, guest, room, closing).await }));
                }
                // Out of sockets, most likely: some will be closed meanwhile.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            () = &mut closing => break,
        }
    }
    drop(listener);
    guests.drain_for(FAREWELL).await
}

/// Looks after one guest, and tells the others when it comes and goes.
async fn host(mut stream: TcpStream, guest: SocketAddr, room: Sender<Line>, closing: CancelToken) {
    let say = |text: String| {
        // Nobody may be there to hear it.
        let _ = room.send(Line { guest, text: text.into() });
    };
    say(format!("* {guest} comes in\n"));
    let left = talk(&mut stream, guest, &room, &closing).await;
    match left {
        Ok(()) => say(format!("* {guest} leaves\n")),
        Err(error) => say(format!("* {guest} leaves: {error}\n")),
    }
}

/// Carries lines both ways until the guest leaves or the room closes.
async fn talk(
    stream: &mut TcpStream,
    guest: SocketAddr,
    room: &Sender<Line>,
    closing: &CancelToken,
) -> io::Result<()> {
    let mut heard = room.subscribe();
    write(stream, format!("* welcome, {guest}\n").as_bytes()).await?;
    loop {
        select! {
            received = stream.fill() => {
                if received? == 0 {
                    return Ok(());
                }
                while let Some(text) = next_line(stream)? {
                    let _ = room.send(Line { guest, text: format!("{guest}: {text}\n").into() });
                }
            },
            line = heard.recv() => hear(stream, guest, line).await?,
            () = closing.cancelled() => break,
        }
    }
    // What was said before the end is still heard.
    while !heard.is_empty() {
        let line = heard.recv().await;
        hear(stream, guest, line).await?;
    }
    write(stream, b"* the room is closing\n").await
}

/// Tells a guest what another one said.
async fn hear(
    stream: &mut TcpStream,
    guest: SocketAddr,
    line: Result<Line, RecvError>,
) -> io::Result<()> {
    match line {
        Ok(line) if line.guest == guest => Ok(()),
        Ok(line) => write(stream, line.text.as_bytes()).await,
        Err(RecvError::Lagged(count)) => {
            write(stream, format!("* you missed {count} lines\n").as_bytes()).await
        }
        Err(RecvError::Closed) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Takes a whole line out of what was received, if there is one.
fn next_line(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let bytes = stream.buffered();
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        let is_too_long = bytes.len() >= LINE_BYTES_MAX;
        return if is_too_long { Err(too_long()) } else { Ok(None) };
    };
    if end >= LINE_BYTES_MAX {
        return Err(too_long());
    }
    let text = String::from_utf8_lossy(&bytes[..end]).trim_end_matches('\r').to_owned();
    stream.consume(end + 1);
    Ok(Some(text))
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a line has at most {LINE_BYTES_MAX} bytes"))
}

/// Writes, unless the guest does not read.
async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, stream.write_all(bytes)).await.map_err(io::Error::from)?
}
