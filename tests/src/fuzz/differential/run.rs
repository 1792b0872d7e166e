//! `Run`: what one server made of a stream, over the wire of a simulated room.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use http::Version;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use mainspring::limits::Limits;
use mainspring::{OnClientFin, Request, Response, Server, Shutdown};
use mainspring_executor::compat::{HyperIo, HyperTimer};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::{World, WorldConfig};

use super::handler::{self, Notes};
use super::script::Script;
use super::seen::Seen;
use crate::http1_cases::answers::{self, Answer};
use crate::http1_cases::client::Client;

/// Both run in the same room; it is a calm one, where the seed decides nothing that either could see.
const SEED: u64 = 0;

/// Where the server listens.
const PORT: u16 = 80;

/// Between two pieces: they arrive as two.
const PAUSE: Duration = Duration::from_micros(1);

/// How long the client waits whether the server closes: less than any deadline of either.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a head, for both.
const HEAD_BYTES_MAX: usize = 1024;

/// Fields of a section, for both.
pub(super) const HEADER_COUNT_MAX: usize = 16;

/// How long a head may take, for both.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of our server: those of hyper where it has them.
pub(super) fn limits() -> Limits {
    Limits {
        request_line_bytes_max: HEAD_BYTES_MAX,
        head_bytes_max: HEAD_BYTES_MAX,
        header_count_max: HEADER_COUNT_MAX,
        body_bytes_max: 64 * 1024,
        // hyper counts the bytes of trailers against the limit of heads, which they may not reach.
        trailer_bytes_max: HEAD_BYTES_MAX - 1,
        ..Limits::default()
    }
}

/// What came of a stream.
pub(super) struct Run {
    /// What the handler got.
    pub(super) seen: Vec<Seen>,
    /// All final answers.
    pub(super) answers: Vec<Answer>,
    /// Whether the connection was open when all was said and answered; `None` where the client did not wait.
    pub(super) is_open: Option<bool>,
    /// Of the room.
    pub(super) trace_hash: u64,
}

impl Run {
    /// Serves the script with our server; `refusal_has_content`: that of a request that its handler did not get.
    ///
    /// # Errors
    /// What did not hold of this run, hyper or no hyper.
    pub(super) fn of_mainspring(
        script: &Script,
        refusal_has_content: bool,
    ) -> Result<Self, String> {
        let run = converse(script, |listener, notes, shutdown| {
            mainspring(listener, notes, shutdown).boxed_local()
        });
        run.and_then(|said| said.read(refusal_has_content))
            .map_err(|what| format!("mainspring: {what}"))
    }

    /// Serves the script with hyper's.
    ///
    /// # Errors
    /// As [`Run::of_mainspring`].
    pub(super) fn of_hyper(script: &Script) -> Result<Self, String> {
        let run = converse(script, |listener, notes, _| hyper(listener, notes).boxed_local());
        run.and_then(|said| said.read(true)).map_err(|what| format!("hyper: {what}"))
    }

    /// The requests that came whole, each of which was answered with its description.
    pub(super) fn served(&self) -> &[Seen] {
        let count = self.seen.iter().take_while(|seen| seen.is_whole).count();
        &self.seen[..count]
    }

    /// A request whose body did not come to its end, behind them.
    pub(super) fn begun(&self) -> Option<&Seen> {
        self.seen.get(self.served().len())
    }

    /// The status of an answer to something that is no whole request, behind theirs.
    pub(super) fn refusal(&self) -> Option<u16> {
        self.answers.get(self.served().len()).map(|answer| answer.status)
    }

    /// What must hold of any server: whole requests are answered with what they are, in order, and at most one answer
    /// is a refusal, behind them.
    fn check(&self) -> Result<(), String> {
        let served = self.served().len();
        if self.seen.len() > served + 1 {
            return Err("a request behind one that was cut off".to_owned());
        }
        if self.answers.len() < served || self.answers.len() > served + 1 {
            return Err(format!("{} answers to {served} requests", self.answers.len()));
        }
        for (seen, answer) in self.seen.iter().zip(&self.answers).take(served) {
            let content = if seen.wants_content(200) { seen.description() } else { Vec::new() };
            if answer.status != 200 || answer.body != content {
                return Err(format!("{} to\n{seen}", answer.summary()));
            }
        }
        match self.refusal() {
            Some(..400) => Err("a refusal that is none".to_owned()),
            _ => Ok(()),
        }
    }
}

/// What came over the wire, and what the handler noted.
struct Said {
    wire: Vec<u8>,
    is_open: Option<bool>,
    seen: Vec<Seen>,
    trace_hash: u64,
}

impl Said {
    fn read(self, refusal_has_content: bool) -> Result<Run, String> {
        let Self { wire, is_open, seen, trace_hash } = self;
        let has_content = |index: usize, status: u16| match seen.get(index) {
            Some(seen) => seen.wants_content(status),
            None => refusal_has_content,
        };
        let all = answers::read(&wire, has_content)?;
        let (interim, finals): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|answer| answer.status < 200);
        if interim.len() > seen.iter().filter(|seen| may_be_asked_on(seen)).count() {
            return Err(format!("100 that nobody waits for: {}", wire.escape_ascii()));
        }
        let run = Run { seen, answers: finals, is_open, trace_hash };
        run.check().map_err(|what| format!("{what}\nthe wire: {}", wire.escape_ascii()))?;
        Ok(run)
    }
}

/// RFC 9110 §10.1.1: whether 100 (Continue) may come before the answer.
fn may_be_asked_on(seen: &Seen) -> bool {
    let expects = seen.values("expect").any(|value| value.eq_ignore_ascii_case(b"100-continue"));
    expects && seen.version == Version::HTTP_11
}

/// Runs one conversation in a room of its own.
fn converse(
    script: &Script,
    serve: impl FnOnce(TcpListener, Notes, Shutdown) -> LocalBoxFuture<'static, ()> + 'static,
) -> Result<Said, String> {
    let world = World::new(SEED, WorldConfig::calm());
    let host = world.host("server");
    let (address, shutdown, notes) = (host.address(PORT), Shutdown::new(), Notes::default());
    let (stop, serving) = (shutdown.clone(), Rc::clone(&notes));
    host.run(async move {
        let listener = TcpListener::bind(([0, 0, 0, 0], PORT).into(), ListenOptions::default());
        serve(listener.expect("a free port"), serving, stop).await;
    });
    let (script, heard) = (script.clone(), Rc::new(RefCell::new(None)));
    let hearing = Rc::clone(&heard);
    world.host("client").run(async move {
        *hearing.borrow_mut() = Some(speak(address, script).await);
        shutdown.stop_now();
    });
    let report = world.run().map_err(|failure| failure.to_string())?;
    let leaks = world.leaks();
    if !leaks.is_empty() {
        return Err(format!("left behind:\n{}", leaks.join("\n")));
    }
    let (wire, is_open) = heard.take().expect("the client came to its end")?;
    Ok(Said { wire, is_open, seen: notes.take(), trace_hash: report.trace_hash })
}

/// Says what the script has, and gives what came back, with whether the server left the connection open.
async fn speak(address: SocketAddr, script: Script) -> Result<(Vec<u8>, Option<bool>), String> {
    let mut client = Client::connect(address).await?;
    for piece in script.pieces {
        client.send(&piece).await;
        sleep(PAUSE).await;
    }
    let mut is_open = None;
    if !script.hangs_up {
        let end = timeout(PATIENCE, async {
            while !client.is_ended() {
                client.receive().await;
            }
        });
        is_open = Some(end.await.is_err());
    }
    client.hang_up();
    Ok((client.receive_all().await?, is_open))
}

/// Our server.
async fn mainspring(listener: TcpListener, notes: Notes, shutdown: Shutdown) {
    let handler = move |request: Request| {
        let head = request.head();
        let seen = Seen::new(head.method(), head.uri(), head.version(), head.headers());
        let notes = Rc::clone(&notes);
        async move {
            let (status, description) = handler::answer(seen, request.into_body(), &notes).await;
            let mut response = Response::new(description.into());
            *response.status_mut() = status;
            response
        }
    };
    let server = Server::new(handler).limits(limits()).on_client_fin(OnClientFin::Finish);
    server.serve(vec![listener], shutdown).await;
}

/// hyper's server, for one connection. It closes as ours does: its answers are not lost to a reset.
async fn hyper(listener: TcpListener, notes: Notes) {
    let (stream, _) = listener.accept().await.expect("the machine has sockets");
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (head, body) = request.into_parts();
        let seen = Seen::new(&head.method, &head.uri, head.version, &head.headers);
        let notes = Rc::clone(&notes);
        async move {
            let (status, description) = handler::answer(seen, body, &notes).await;
            let mut response = hyper::Response::new(Full::new(Bytes::from(description)));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(HyperTimer).header_read_timeout(HEAD_TIMEOUT).half_close(true);
    builder.max_headers(HEADER_COUNT_MAX).max_header_size(HEAD_BYTES_MAX);
    // It would be the date of the system.
    builder.auto_date_header(false);
    let mut connection = builder.serve_connection(HyperIo::new(stream), service);
    // What is wrong with the peer, its answer says, or that there is none.
    drop(Pin::new(&mut connection).await);
    linger(connection.into_parts().io.into_inner()).await;
}

/// Ends a connection with FIN, and waits for the peer's.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown_write().is_err() {
        return;
    }
    stream.consume(stream.buffered().len());
    while let Ok(1..) = stream.fill().await {
        stream.consume(stream.buffered().len());
    }
}
