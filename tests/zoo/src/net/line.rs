//! Lines over TCP, as many of the services speak them, and how a run with services ends.

use core::fmt::Display;
use core::time::Duration;
use std::io;

use mainspring::{Handler, Server, Shutdown};
use mainspring_executor::Scope;
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, conclude};
use mainspring_sim::{Host, World};

/// On which services listen.
pub(crate) const PORT: u16 = 7000;

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn listen() -> TcpListener {
    let address = ([0, 0, 0, 0], PORT).into();
    TcpListener::bind(address, ListenOptions::default()).expect("the port is free")
}

/// The next line, without its end; `None` where the connection has ended or is broken.
pub(crate) async fn hear(stream: &mut TcpStream) -> Option<String> {
    loop {
        if let Some(end) = stream.buffered().iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&stream.buffered()[..end]).into_owned();
            stream.consume(end + 1);
            return Some(line);
        }
        if !matches!(stream.fill().await, Ok(1..)) {
            return None;
        }
    }
}

pub(crate) async fn say(stream: &mut TcpStream, line: impl Display) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes()).await
}

/// Answers each line, until the connection has ended or is broken.
pub(crate) async fn answer_each<A: Display>(
    mut stream: TcpStream,
    reply: impl AsyncFn(String) -> A,
) {
    while let Some(line) = hear(&mut stream).await {
        if say(&mut stream, reply(line).await).await.is_err() {
            return;
        }
    }
}

/// One line there, one back; `None` where the connection has ended or is broken.
pub(crate) async fn ask(stream: &mut TcpStream, line: impl Display) -> Option<String> {
    say(stream, line).await.ok()?;
    hear(stream).await
}

/// As [`ask`], on a connection of its own.
pub(crate) async fn ask_once(host: &Host, line: impl Display) -> Option<String> {
    let mut stream = TcpStream::connect(host.address(PORT)).await.ok()?;
    ask(&mut stream, line).await
}

/// Gives each connection to `talk`, in a task of its own, for ever.
pub(crate) async fn serve<F>(talk: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let listener = listen();
    let connections = Scope::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(talk(stream))),
            Err(_) => sleep(ms(100)).await,
        }
    }
}

/// Serves HTTP until the program is told to end.
pub(crate) async fn serve_http(handler: impl Handler) {
    let shutdown = Shutdown::on_signals().expect("signals can be watched");
    Server::new(handler).serve(vec![listen()], shutdown).await;
}

/// Runs what the run waits for to its end, and then ends the services.
pub(crate) fn finish(world: &World, services: &[&Host], requests: u64) -> Result<Run, String> {
    world.run().map_err(|failure| failure.to_string())?;
    for service in services {
        service.resume();
        service.signal(Signal::Terminate);
    }
    conclude(world, requests)
}
