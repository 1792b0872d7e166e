//! What of these crates works inside, and what a user is told where it does not: what asks for tokio's runtime panics, and the
//! failure says what to take in its place. `docs/GUIDE.md` has the table.

use core::cell::RefCell;
use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::ConnectInfo;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::{Extension, Router};
use futures::stream;
use hyper::StatusCode;
use hyper_util::service::TowerToHyperService;
use mainspring_executor::Scope;
use mainspring_executor::compat::{HyperServer, TokioIo, on_thread};
use mainspring_executor::driver::Signal;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::sleep;
use mainspring_sim::bypass::alone;
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{World, WorldConfig};
use mainspring_stand_ins::Postgres;
use tokio_postgres::{Config, NoTls};
use tower::{BoxError, ServiceBuilder};

use super::client::Client;

/// What tokio says.
const NO_RUNTIME: &str =
    "there is no reactor running, must be called from the context of a Tokio 1.x runtime";

/// What the failure says below it.
const HINT: &str =
    "\ntokio's runtime is not in here: take spawn, time, net, offload of mainspring_executor";

/// Serves the routes as a program does, to a client that asks for `/`: its answer, or how the run failed.
fn served(routes: fn() -> Router) -> Result<(StatusCode, String), String> {
    alone(0, || {
        let world = World::new(0, WorldConfig::calm());
        let (server, client) = (world.host("server"), world.host("client"));
        let (address, told) = (server.address(80), Rc::new(RefCell::new(None)));
        server.run(async move {
            let mut signals = Signals::subscribe().expect("signals can be watched");
            let listener = TcpListener::bind(address, Default::default()).expect("a free port");
            let service = |peer| {
                let routes = routes().layer(Extension(ConnectInfo::<SocketAddr>(peer)));
                TowerToHyperService::new(routes)
            };
            let stop = async { drop(signals.next().await) };
            let serving = HyperServer::new();
            let served = serving.serve(listener, |stream| service(stream.peer_addr()), stop).await;
            served.expect("no handler panics");
        });
        let heard = Rc::clone(&told);
        client.run(async move {
            let mut client = Client::connect(address).await.expect("it listens");
            if let Ok((status, body)) = client.get("/").await {
                let body = String::from_utf8_lossy(&body).into_owned();
                heard.borrow_mut().replace((status, body));
            }
            server.signal(Signal::Terminate);
        });
        conclude(&world, 1)?;
        let told = told.take();
        told.ok_or_else(|| "no answer, and no panic".to_owned())
    })
}

#[track_caller]
fn works(routes: fn() -> Router, expected: &str) {
    assert_eq!(served(routes), Ok((StatusCode::OK, expected.to_owned())));
}

/// The client hears nothing, and the run fails when the server ends.
#[track_caller]
fn has_no_runtime(routes: fn() -> Router) {
    let failure = served(routes).expect_err("it asks for a runtime");
    assert!(failure.contains(NO_RUNTIME), "{failure}");
    assert!(failure.contains(HINT), "{failure}");
}

#[test]
fn tasks_timers_sockets_and_threads_of_tokio_are_not_there() {
    has_no_runtime(|| Router::new().route("/", get(async || drop(tokio::spawn(async {})))));
    has_no_runtime(|| {
        Router::new().route("/", get(async || tokio::time::sleep(Duration::ZERO).await))
    });
    has_no_runtime(|| {
        let bounded = async || {
            let bounded = tokio::time::timeout(Duration::from_secs(1), async {}).await;
            bounded.expect("it is ready at once");
        };
        Router::new().route("/", get(bounded))
    });
    has_no_runtime(|| {
        let connecting = async || {
            let stream = tokio::net::TcpStream::connect("10.0.0.1:80").await;
            drop(stream.expect("it listens"));
        };
        Router::new().route("/", get(connecting))
    });
    has_no_runtime(|| {
        let keep_alive = async || {
            let never = stream::pending::<Result<Event, Infallible>>();
            Sse::new(never).keep_alive(KeepAlive::default())
        };
        Router::new().route("/", get(keep_alive))
    });
    has_no_runtime(|| {
        let blocking = async || drop(tokio::task::spawn_blocking(|| {}));
        Router::new().route("/", get(blocking))
    });
}

/// They are made of the above.
#[test]
fn middleware_with_timers_or_tasks_asks_for_a_runtime() {
    has_no_runtime(|| {
        let layer = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(|_: BoxError| async { StatusCode::GATEWAY_TIMEOUT }))
            .timeout(Duration::from_secs(1));
        Router::new().route("/", get(async || "hello")).layer(layer)
    });
    has_no_runtime(|| {
        let status = StatusCode::GATEWAY_TIMEOUT;
        let layer =
            tower_http::timeout::TimeoutLayer::with_status_code(status, Duration::from_secs(1));
        Router::new().route("/", get(async || "hello")).layer(layer)
    });
    has_no_runtime(|| {
        let layer = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(|_: BoxError| async { StatusCode::SERVICE_UNAVAILABLE }))
            .buffer(4);
        Router::new().route("/", get(async || "hello")).layer(layer)
    });
}

#[test]
fn what_needs_no_runtime_works() {
    // Time, of ours.
    works(
        || {
            let slow = async || {
                on_thread(sleep(Duration::from_secs(5))).await;
                "slow"
            };
            Router::new().route("/", get(slow))
        },
        "slow",
    );
    // Bodies that come piece by piece, and events.
    works(
        || {
            let pieces = stream::iter(["a", "b", "c"].map(Ok::<_, Infallible>));
            Router::new().route("/", get(async || Body::from_stream(pieces)))
        },
        "abc",
    );
    works(
        || {
            let events =
                stream::iter(["a", "b"].map(|it| Ok::<_, Infallible>(Event::default().data(it))));
            Router::new().route("/", get(async || Sse::new(events)))
        },
        "data: a\n\ndata: b\n\n",
    );
    // Who asks.
    works(
        || {
            let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string();
            Router::new().route("/", get(peer))
        },
        "10.0.0.2",
    );
    // Channels and locks of tokio.
    works(
        || {
            let through = async || {
                let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
                sender.send("through").await.expect("there is a receiver");
                receiver.recv().await.expect("it was sent")
            };
            Router::new().route("/", get(through))
        },
        "through",
    );
}

/// tokio-postgres numbers its statements by a counter of the process, and the tenth number is longer than the ninth.
#[test]
fn statements_that_are_prepared_make_runs_differ() {
    fn asked(setup: &Setup) -> Result<Run, String> {
        let world = setup.world(WorldConfig::calm());
        let (app, db) = (world.host("app"), world.host("db"));
        let (address, database) = (db.address(5432), Postgres::new().serve(&db, 5432));
        app.run(async move {
            let stream = TcpStream::connect(address).await.expect("it listens");
            let connected =
                Config::new().user("app").connect_raw(TokioIo::new(stream), NoTls).await;
            let (client, connection) = connected.expect("it trusts us");
            let scope = Scope::new();
            drop(scope.spawn(connection));
            for _ in 0..12 {
                client.query("SELECT 7", &[]).await.expect("a row");
            }
            database.stop();
        });
        conclude(&world, 1)
    }
    differs(Scenario::new("asked", "twelve statements", asked));
}

#[track_caller]
fn differs(scenario: Scenario) {
    let failure = scenario.run_twice(0).expect_err("a counter of the process");
    assert!(failure.message.contains("two runs differ"), "{failure}");
}

/// tokio's `select!` begins with a branch that it draws, from a generator whose seed comes from a counter of the process.
#[test]
fn the_select_of_tokio_makes_runs_differ() {
    fn drawn(setup: &Setup) -> Result<Run, String> {
        let world = setup.world(WorldConfig::calm());
        world.host("host").run(async {
            for _ in 0..100 {
                tokio::select! {
                    () = core::future::ready(()) => {}
                    () = core::future::ready(()) => sleep(Duration::from_secs(1)).await,
                }
            }
        });
        conclude(&world, 1)
    }
    differs(Scenario::new("drawn", "a hundred choices of tokio's", drawn));
}
