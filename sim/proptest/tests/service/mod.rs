//! A service with up to three bugs: a byte comes back, if the client thanks for it; answers are counted, one at a time.

use core::cell::Cell;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::spawn;
use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{Host, WorldConfig};
use mainspring_sim_proptest::{Client, FaultPlan, Step, Workload};

pub(crate) type Plan = (WorldConfig, (FaultPlan, Workload<u64>));

/// Which bugs it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bugs {
    /// Reads the count, and writes it later.
    pub loses_updates: bool,
    /// Swallows what comes after a second of silence.
    pub loses_answers: bool,
    /// Keeps the permit of a client that does not thank in time.
    pub leaks_permits: bool,
}

pub(crate) const SOUND: Bugs =
    Bugs { loses_updates: false, loses_answers: false, leaks_permits: false };

const PORT: u16 = 7;

/// A client waits so long for an answer: longer than any fault lasts.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server says where it has no permit in twenty seconds.
const NO_PERMIT: u8 = 255;

/// How long an answer takes.
const WORK: Duration = Duration::from_millis(5);

/// What the clients and the server share.
struct State {
    bugs: Bugs,
    server: Host,
    /// Nothing is wrong from here on.
    healed_at: Instant,
    clients_left: Cell<u64>,
    answered: Cell<u64>,
    /// What the service thinks it has answered.
    counted: Cell<u64>,
    served: Cell<u64>,
}

/// A client that has not ended. When none is left the server is killed.
struct Present(Rc<State>);

impl Drop for Present {
    fn drop(&mut self) {
        let left = self.0.clients_left.get() - 1;
        self.0.clients_left.set(left);
        if left == 0 {
            self.0.server.signal(Signal::Terminate);
        }
    }
}

/// Runs a plan with the service that has these bugs.
pub(crate) fn service(bugs: Bugs, plan: &Plan, setup: &Setup) -> Result<Run, String> {
    let (config, (faults, workload)) = plan;
    let world = setup.world(config.clone());
    let (server, client) = (world.host("server"), world.host("client"));
    let state = Rc::new(State {
        bugs,
        server,
        healed_at: faults.end(),
        clients_left: Cell::new(workload.clients.len() as u64),
        answered: Cell::default(),
        counted: Cell::default(),
        served: Cell::default(),
    });
    state.server.run(serve(Rc::clone(&state)));
    for asks in workload.clients.clone() {
        let present = Present(Rc::clone(&state));
        client.run(async move { ask_all(&present.0, asks).await });
    }
    let revived = Rc::clone(&state);
    // Clients that were in a crash are gone.
    faults.apply(&world, move |host| {
        if host.name() == "server" && revived.clients_left.get() > 0 {
            host.run(serve(Rc::clone(&revived)));
        }
    });
    let run = conclude(&world, 0)?;
    let (counted, served) = (state.counted.get(), state.served.get());
    if counted != served {
        return Err(format!("lost update: {counted} of {served} answers are counted"));
    }
    Ok(Run { request_count: state.answered.get(), ..run })
}

async fn serve(state: Rc<State>) {
    let address = ([0, 0, 0, 0], PORT).into();
    let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
    let permits = Rc::new(Semaphore::new(1));
    loop {
        let (stream, _) = listener.accept().await.expect("descriptors are left");
        let (state, permits) = (Rc::clone(&state), Rc::clone(&permits));
        drop(spawn(async move { drop(answer_all(&state, &permits, stream).await) }));
    }
}

/// The next byte, which is taken.
async fn next(stream: &mut TcpStream) -> io::Result<u8> {
    if stream.buffered().is_empty() && stream.fill().await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let byte = stream.buffered()[0];
    stream.consume(1);
    Ok(byte)
}

async fn answer_all(state: &State, permits: &Semaphore, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let request = match timeout(Duration::from_secs(1), next(&mut stream)).await {
            Ok(request) => request?,
            Err(_) => {
                let late = next(&mut stream).await?;
                if state.bugs.loses_answers {
                    continue;
                }
                late
            }
        };
        count(state).await;
        let Ok(permit) = timeout(Duration::from_secs(20), permits.acquire()).await else {
            return stream.write_all(&[NO_PERMIT]).await;
        };
        let permit = permit.expect("nobody closes it");
        stream.write_all(&[request]).await?;
        let thanks = timeout(Duration::from_secs(1), next(&mut stream)).await;
        if state.bugs.leaks_permits && thanks.is_err() {
            permit.forget();
        }
        thanks.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}

async fn count(state: &State) {
    let before = state.counted.get();
    sleep(WORK).await;
    let before = if state.bugs.loses_updates { before } else { state.counted.get() };
    state.counted.set(before + 1);
    state.served.set(state.served.get() + 1);
}

async fn ask_all(state: &State, client: Client<u64>) {
    sleep(client.start).await;
    let mut connection = connect(state).await;
    for Step { pause, request } in client.steps {
        let request = u8::try_from(request).expect("a small one");
        sleep(pause).await;
        loop {
            let began = now();
            if let Some(stream) = &mut connection {
                match timeout(PATIENCE, ask(stream, request)).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) => {}
                    Err(_) => assert!(began < state.healed_at, "no answer"),
                }
            }
            sleep(Duration::from_millis(100)).await;
            connection = connect(state).await;
        }
        state.answered.set(state.answered.get() + 1);
    }
}

async fn connect(state: &State) -> Option<TcpStream> {
    let connecting = TcpStream::connect(state.server.address(PORT));
    timeout(PATIENCE, connecting).await.ok()?.ok()
}

async fn ask(stream: &mut TcpStream, request: u8) -> io::Result<()> {
    stream.write_all(&[request]).await?;
    let answer = next(stream).await?;
    assert_ne!(answer, NO_PERMIT, "no permit");
    assert_eq!(answer, request, "the byte comes back");
    stream.write_all(b"!").await
}
