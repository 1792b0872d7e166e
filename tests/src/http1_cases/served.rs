//! Runs a case through the server: over the network of a simulated room, and over the loopback of the operating system.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::rc::Rc;

use http_body::Body as _;
use mainspring::{Body, Handler, Incoming, OnClientFin, Request, Response, Server, Shutdown};
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::TcpListener;
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::{sleep, timeout, yield_now};
use mainspring_executor::{Shard, spawn};
use mainspring_sim::{World, WorldConfig};

use super::answers::has_interims;
use super::case::{Case, Step};
use super::client::Client;
use super::delivery::Delivery;
use super::judge::{Outcome, Seen, fields, judge};
use super::plan::{Content, Pieces, Plan};

/// Where the server listens in the simulated room.
const PORT: u16 = 80;

/// A case on the operating system that takes longer hangs.
const OS_DURATION_MAX: Duration = Duration::from_secs(10);

/// Between two pieces in the simulated room: they arrive as two.
const PAUSE: Duration = Duration::from_micros(1);

/// All that a server said, or why that is not known.
type Said = Result<Vec<u8>, String>;

/// What a simulated room is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Without faults.
    Calm,
    /// With all of them, as a seed decides.
    Rough(u64),
}

/// Runs `case` in a simulated room.
///
/// # Errors
/// What did not hold.
///
/// # Panics
/// When a simulated host cannot watch signals, or has no free port.
pub fn check_simulated(case: &Case, delivery: Delivery, room: Room) -> Result<(), String> {
    let (seed, config) = match room {
        Room::Calm => (0, WorldConfig::calm()),
        Room::Rough(seed) => (seed, WorldConfig::rough()),
    };
    let world = World::new(seed, config);
    let host = world.host("server");
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let server = server(case, &seen);
    let (address, signalled) = (host.address(PORT), host.clone());
    host.run(async move {
        let address = SocketAddr::from(([0, 0, 0, 0], PORT));
        let shutdown = Shutdown::on_signals().expect("signals can be watched");
        let listener = TcpListener::bind(address, ListenOptions::default());
        server.serve(vec![listener.expect("a free port")], shutdown).await;
    });
    let whole = case.with_epilogue();
    let said: Rc<RefCell<Option<Said>>> = Rc::default();
    let (steps, result) = (whole.steps.clone(), Rc::clone(&said));
    world.host("client").run(async move {
        *result.borrow_mut() = Some(converse(address, &steps, delivery, Pace::Sleep).await);
        signalled.signal(Signal::Terminate);
    });
    world.run().map_err(|failure| failure.to_string())?;
    let wire = said.take().expect("the client came to its end")?;
    let leaks = world.leaks();
    if !leaks.is_empty() {
        return Err(format!("left behind:\n{}", leaks.join("\n")));
    }
    judge(&whole, &Outcome { seen: seen.take(), wire })
}

/// Runs each of `cases` on the operating system, delivered in each of these ways; what did not hold. Those that are
/// pending are not run: most would wait until they time out.
///
/// # Panics
/// When the operating system gives no sockets.
#[must_use]
pub fn check_on_os(cases: &[Case], deliveries: &[Delivery]) -> Vec<Result<(), String>> {
    let shard = Shard::new(Rc::new(OsDriver::new().expect("a driver")));
    let mut results = Vec::new();
    for case in cases {
        if case.pending.is_some() {
            results.push(Err("it is pending".to_owned()));
            continue;
        }
        let ran = deliveries.iter().try_for_each(|delivery| {
            on_os(&shard, case, *delivery).map_err(|what| format!("{delivery:?}: {what}"))
        });
        results.push(ran);
    }
    results
}

fn on_os(shard: &Shard, case: &Case, delivery: Delivery) -> Result<(), String> {
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let (server, whole) = (server(case, &seen), case.with_epilogue());
    let steps = whole.steps.clone();
    let run = async move {
        let localhost = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(localhost, ListenOptions::default());
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let shutdown = Shutdown::new();
        let until = shutdown.clone();
        let serving = spawn(async move { server.serve(vec![listener], until).await });
        let conversation = converse(address, &steps, delivery, Pace::Yield);
        let said = timeout(OS_DURATION_MAX, conversation).await;
        shutdown.stop_now();
        serving.await.expect("the server does not panic");
        said.unwrap_or_else(|_| Err("it hangs".to_owned()))
    };
    let wire = shard.run(run).expect("the driver works")?;
    let left = shard.ledger().to_string();
    if !left.is_empty() {
        return Err(format!("left behind:\n{left}"));
    }
    judge(&whole, &Outcome { seen: seen.take(), wire })
}

/// A server that does what the requests ask for, and notes them.
fn server(case: &Case, seen: &Rc<RefCell<Vec<Seen>>>) -> Server<impl Handler + use<>> {
    let seen = Rc::clone(seen);
    Server::new(move |request| answer(Rc::clone(&seen), request))
        .limits(case.limits.clone())
        .on_client_fin(OnClientFin::Finish)
}

async fn answer(seen: Rc<RefCell<Vec<Seen>>>, request: Request) -> Response {
    let plan = Plan::of(request.uri());
    let index = seen.borrow().len();
    seen.borrow_mut().push(Seen::new(request.head(), plan.reads));
    if plan.reads {
        read(request.into_body(), &seen, index).await;
    }
    let content = match plan.content {
        Content::Full(content) => content.into(),
        Content::Stream(pieces) => Body::new(Pieces { pieces, trailers: plan.trailers }),
        Content::Echo => seen.borrow()[index].body.clone().into(),
    };
    let mut response = Response::new(content);
    *response.status_mut() = plan.status;
    *response.headers_mut() = plan.headers;
    response
}

/// Reads a body to its end, and notes it as that of a request.
async fn read(mut body: Incoming, seen: &RefCell<Vec<Seen>>, index: usize) {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else { return };
        let seen = &mut seen.borrow_mut()[index];
        match frame.into_data() {
            Ok(data) => seen.body.extend_from_slice(&data),
            Err(frame) => {
                seen.trailers = fields(&frame.into_trailers().expect("no data, so trailers"));
            }
        }
    }
    seen.borrow_mut()[index].is_whole = true;
}

/// How a client lets time pass between two pieces.
#[derive(Clone, Copy)]
enum Pace {
    Sleep,
    Yield,
}

/// Does what `steps` say on one connection, and gives all that is answered until its end.
async fn converse(address: SocketAddr, steps: &[Step], delivery: Delivery, pace: Pace) -> Said {
    let mut client = Client::connect(address).await?;
    let mut interim_count = 0;
    for step in steps {
        match step {
            Step::Send(bytes) => {
                for piece in delivery.pieces(bytes) {
                    client.send(piece).await;
                    match pace {
                        Pace::Sleep => sleep(PAUSE).await,
                        Pace::Yield => yield_now().await,
                    }
                }
            }
            Step::AwaitContinue => {
                interim_count += 1;
                while !has_interims(client.received(), interim_count) {
                    if client.is_ended() {
                        return Err("no 100 (Continue)".to_owned());
                    }
                    client.receive().await;
                }
            }
            Step::Fin => client.hang_up(),
        }
    }
    client.receive_all().await
}
