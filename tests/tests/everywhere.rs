//! The server and its clients with one thing going wrong, at each place where it can: each sweep is one line, and each of
//! its runs has to end well and leave nothing.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use http::StatusCode;
use mainspring::{IntoResponse, Request, Response, Server, Shutdown};
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::TcpListener;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::{Everywhere, Host, SweepFailure, Swept, Victims, World, WorldConfig};
use mainspring_tests::client::{Client, ClientError, chunked};

const PORT: u16 = 80;

/// A client that waits longer than this has been forgotten: handlers take milliseconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Serves until SIGTERM. Where it cannot begin, for there is no socket to be had, it ends.
async fn serve(host: Host, victims: Victims) {
    let Ok(shutdown) = Shutdown::on_signals() else { return };
    let address = (host.ip(), PORT).into();
    let Ok(listener) = TcpListener::bind(address, ListenOptions::default()) else { return };
    let server = Server::new(move |request: Request| {
        let victims = victims.clone();
        async move { victims.wrap(answer(request)).await.unwrap_or_else(gone) }
    });
    server.serve(vec![listener], shutdown).await;
}

/// What a handler whose work was dropped says.
fn gone() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// Sends back what it gets, and takes its time.
async fn answer(mut request: Request) -> Response {
    let mut body = Vec::new();
    while let Some(chunk) = request.body_mut().chunk().await {
        let Ok(chunk) = chunk else { return StatusCode::BAD_REQUEST.into_response() };
        body.extend_from_slice(&chunk);
        sleep(Duration::from_millis(2)).await;
    }
    Response::new(body.into())
}

/// One request, in pieces, with a body that is bigger than a buffer; what came of it.
async fn ask(server: &Host, scene: Scene) -> Result<u16, ClientError> {
    let asking = async {
        let body = vec![b'x'; 40_000];
        let mut client = Client::connect(server.address(PORT)).await?;
        client.send(b"POST / HTTP/1.1\r\nHost: everywhere\r\nTransfer-Encoding: ").await?;
        client.send(b"chunked\r\n\r\n").await?;
        client.send(&chunked(&body, 9_000)).await?;
        let answer = client.answer(false).await?;
        assert!(answer.status != 200 || answer.body == body, "it sends back what it got");
        Ok(answer.status)
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| {
        assert!(scene.may_forget, "a client is answered, or told that it is not");
        Err(ClientError::Closed)
    })
}

/// Asks until it is answered; false where it gives up.
async fn ask_on(server: &Host, scene: Scene) -> bool {
    for _ in 0..50 {
        if ask(server, scene).await == Ok(200) {
            return true;
        }
        sleep(Duration::from_millis(200)).await;
    }
    false
}

/// Who is the victim.
#[derive(Clone, Copy)]
enum Who {
    Nobody,
    Client,
    Handler,
}

/// What may happen to whom.
#[derive(Clone, Copy)]
struct Scene {
    victim: Who,
    /// The server is there in the end.
    has_to_answer: bool,
    /// A connection may have an end that knows nothing of it any more: who only waits there waits for ever.
    may_forget: bool,
}

const SCENE: Scene = Scene { victim: Who::Nobody, has_to_answer: false, may_forget: false };

type Check = Box<dyn FnOnce(&World)>;
type Rehearsal = Everywhere<Box<dyn Fn(&World) -> Check>>;

/// A server and two clients, the second of which comes when the first has gone.
fn scenario(scene: Scene) -> Box<dyn Fn(&World) -> Check> {
    Box::new(move |world: &World| {
        let (server, client) = (world.host("server"), world.host("client"));
        let nobody = Victims::default();
        let (clients, handlers) = match scene.victim {
            Who::Nobody => (nobody.clone(), nobody),
            Who::Client => (world.victims(), nobody),
            Who::Handler => (nobody, world.victims()),
        };
        server.run(serve(server.clone(), handlers));
        let answered = Rc::new(Cell::new(false));
        let is_answered = Rc::clone(&answered);
        client.run(async move {
            let asked = server.clone();
            drop(clients.wrap(async move { ask(&asked, scene).await }).await);
            is_answered.set(ask_on(&server, scene).await);
            server.signal(Signal::Terminate);
        });
        Box::new(move |_: &World| {
            assert!(answered.get() || !scene.has_to_answer, "the server is there");
        })
    })
}

/// Sweeps a few seeds in a calm room and in rough ones, each twice with the same outcome; how many runs that were.
#[track_caller]
fn sweep(scene: Scene, how: impl Fn(&Rehearsal) -> Result<Swept, SweepFailure>) -> u64 {
    let mut run_count = 0;
    let rooms = [(0, WorldConfig::calm()), (1, WorldConfig::rough()), (2, WorldConfig::rough())];
    for (seed, config) in rooms {
        let everywhere = Everywhere::new(seed, config, scenario(scene));
        let swept = how(&everywhere).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(how(&everywhere), Ok(swept), "the same runs again");
        run_count += swept.run_count;
    }
    println!("{run_count} runs");
    run_count
}

#[test]
fn a_client_that_leaves_anywhere_leaves_nothing() {
    assert!(
        sweep(Scene { victim: Who::Client, has_to_answer: true, ..SCENE }, Everywhere::cancel) > 20
    );
}

#[test]
fn a_handler_that_drops_its_work_anywhere_goes_on() {
    assert!(
        sweep(Scene { victim: Who::Handler, has_to_answer: true, ..SCENE }, Everywhere::cancel)
            > 50
    );
}

#[test]
fn a_handler_that_panics_anywhere_takes_nobody_with_it() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let run_count =
        sweep(Scene { victim: Who::Handler, has_to_answer: true, ..SCENE }, Everywhere::panic);
    std::panic::set_hook(hook);
    assert!(run_count > 20);
}

#[test]
fn sigterm_at_any_instant_ends_it_in_good_order() {
    let run_count = sweep(SCENE, |all| all.signal("server", Signal::Terminate));
    assert!(run_count > 100);
}

#[test]
fn a_server_that_crashes_at_any_instant_is_there_again() {
    let run_count = sweep(Scene { has_to_answer: true, may_forget: true, ..SCENE }, |all| {
        all.crash("server", Duration::from_secs(1), |world| {
            let server = world.find("server").expect("it is there");
            // The one signal may have gone to the life before.
            server.clone().run(async move {
                let serving = serve(server.clone(), Victims::default());
                timeout(Duration::from_secs(600), serving).await.unwrap_or_default();
            });
        })
    });
    assert!(run_count > 50);
}

#[test]
fn a_client_that_crashes_at_any_instant_leaves_nothing() {
    let run_count = sweep(SCENE, |all| {
        all.crash("client", Duration::from_secs(1), |world| {
            world.find("server").expect("it is there").signal(Signal::Terminate);
        })
    });
    assert!(run_count > 100);
}

#[test]
fn any_call_of_the_server_may_fail() {
    let run_count = sweep(SCENE, |all| all.fail_each_call("server"));
    assert!(run_count > 100);
}
