//! What must hold of the server whatever is asked, whatever goes wrong and in whatever room: each request that is answered is
//! answered rightly, all are once the faults are over, and nothing is left. The plans are drawn, and made small, by
//! `mainspring-sim-proptest`.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use http::Method;
use mainspring::{IntoResponse, Request, Response, Server, Shutdown};
use mainspring_executor::Instant;
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::TcpListener;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{Fault, Host, WorldConfig};
use mainspring_sim_proptest::{
    Checked, FaultKind, FaultPlan, Property, Workload, config, faults, number, sooner, together,
    workload,
};
use mainspring_tests::client::{Client, ClientError};
use proptest::strategy::Strategy;

const PORT: u16 = 80;

/// The faults are over after this time, as are the pauses of clients.
const WITHIN: Duration = Duration::from_secs(20);

/// A client waits so long for an answer: longer than what was lost in a cut of twenty seconds takes to be sent again.
const PATIENCE: Duration = Duration::from_secs(60);

/// So often a request is sent again at most when nothing is wrong any more.
const RETRIES_MAX: u32 = 20;

/// What is asked, and with it what the answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ask {
    /// The path of the request comes back.
    Path(u64),
    /// The same, after so many milliseconds.
    Sleep(u64),
    /// So many bytes come back.
    Echo(u64),
}

type Asks = mainspring_sim_proptest::Client<Ask>;

type Plan = (WorldConfig, (FaultPlan, Workload<Ask>));

fn plans() -> impl Strategy<Value = Plan> {
    let ask = together((number(0..=2), number(0..=20_000)));
    let ask = ask.prop_map(|(kind, size)| match kind {
        0 => Ask::Path(size),
        1 => Ask::Sleep(size),
        _ => Ask::Echo(size),
    });
    let faults = faults(&FaultKind::ALL, &["server", "clients"], WITHIN);
    together((config(), sooner(faults, workload(ask, 6, 5, WITHIN))))
}

async fn answer(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if request.method() == Method::POST {
        return Response::new(request.into_body().into());
    }
    if let Some((_, millis)) = path.split_once("/sleep/") {
        sleep(Duration::from_millis(millis.parse().expect("clients ask in numbers"))).await;
    }
    path.into_response()
}

async fn serve() {
    let shutdown = Shutdown::on_signals().expect("signals can be watched");
    let address = ([0, 0, 0, 0], PORT).into();
    let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
    Server::new(answer).serve(vec![listener], shutdown).await;
}

/// What the clients share.
struct State {
    server: Host,
    /// Nothing goes wrong any more.
    healed_at: Instant,
    left: Cell<usize>,
    answered: Cell<u64>,
}

/// A client that has not ended, or crashed. After the last the server drains.
struct Present(Rc<State>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.left.set(self.0.left.get() - 1);
        if self.0.left.get() == 0 {
            self.0.server.signal(Signal::Terminate);
        }
    }
}

fn run((config, (faults, workload)): &Plan, setup: &Setup) -> Result<Run, String> {
    let world = setup.world(config.clone());
    let (server, clients) = (world.host("server"), world.host("clients"));
    let state = Rc::new(State {
        server: server.clone(),
        healed_at: faults.end(),
        left: Cell::new(workload.clients.len()),
        answered: Cell::default(),
    });
    server.run(serve());
    for asks in workload.clients.clone() {
        let present = Present(Rc::clone(&state));
        clients.run(async move { ask_all(&present.0, asks).await });
    }
    let revived = Rc::clone(&state);
    faults.apply(&world, move |host| {
        // Clients that were in a crash are gone; when all are, nobody would tell the server to end.
        if host.name() == "server" && revived.left.get() > 0 {
            host.run(serve());
        }
    });
    conclude(&world, 0).map(|run| Run { request_count: state.answered.get(), ..run })
}

async fn ask_all(state: &State, client: Asks) {
    sleep(client.start).await;
    let mut connection = None;
    for step in client.steps {
        sleep(step.pause).await;
        let (request, expected) = message(&step.request);
        let mut retry_count = 0;
        while !is_answered(state, &mut connection, &request, &expected).await {
            connection = None;
            retry_count += u32::from(now() > state.healed_at);
            assert!(retry_count < RETRIES_MAX, "refused again and again");
            sleep(Duration::from_secs(1)).await;
        }
        state.answered.set(state.answered.get() + 1);
    }
}

/// A request, and the content of its answer.
fn message(ask: &Ask) -> (Vec<u8>, Vec<u8>) {
    let path = match ask {
        Ask::Path(number) => format!("/item/{number}"),
        Ask::Sleep(millis) => format!("/sleep/{millis}"),
        Ask::Echo(size) => {
            let size = usize::try_from(*size).expect("a few thousand");
            let body: Vec<u8> = (0_u64..).flat_map(u64::to_le_bytes).take(size).collect();
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
            return ([head.as_bytes(), &body].concat(), body);
        }
    };
    (format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(), path.into_bytes())
}

/// One attempt. Where it began after the last fault there is an answer in time, or it is said that there is none.
async fn is_answered(
    state: &State,
    connection: &mut Option<Client>,
    request: &[u8],
    expected: &[u8],
) -> bool {
    let began = now();
    let asking = async {
        let client = match connection {
            Some(client) => client,
            None => connection.insert(Client::connect(state.server.address(PORT)).await?),
        };
        client.exchange(request, false).await
    };
    match timeout(PATIENCE, asking).await {
        // It was too long on its way.
        Ok(Ok(answer)) if answer.status == 408 => false,
        Ok(Ok(answer)) => {
            assert_eq!((answer.status, &*answer.body), (200, expected), "the right answer");
            true
        }
        Ok(Err(ClientError::Malformed(what))) => panic!("no HTTP: {what}"),
        Ok(Err(_)) => false,
        Err(_) => {
            assert!(began < state.healed_at, "no answer, and nothing is wrong any more");
            false
        }
    }
}

#[test]
fn whatever_goes_wrong_all_is_answered_when_it_is_over() {
    let checked: Checked = Property::new("all is answered", plans(), run).assert_holds(0..2_000);
    println!("{} requests, {} events", checked.request_count, checked.event_count);
    assert!(checked.request_count > 15_000, "{}", checked.request_count);
    let runs_with = |fault| checked.coverage.fault(fault).runs;
    for fault in [Fault::Cut, Fault::Crash, Fault::Pause, Fault::DateJump, Fault::SegmentLost] {
        assert!(runs_with(fault) > 200, "{fault:?}: {}", runs_with(fault));
    }
}
