//! axum as its users have it: a `Router` with several routes and extractors, `tower` and `tower-http` around it, its state a
//! pool of `tokio-postgres`; served by `HyperServer`. Its database stalls for a while, clients leave, and a deploy ends it.

use core::cell::Cell;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use axum::error_handling::HandleErrorLayer;
use axum::extract::{MatchedPath, Path, Query, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{BoxError, Json, Router};
use hyper::header::{HeaderValue, SERVER};
use hyper::{Method, StatusCode};
use mainspring_executor::compat::{HyperServer, OnThread, TokioIo, on_thread};
use mainspring_executor::driver::{Instant, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{now, sleep, sleep_until, timeout};
use mainspring_executor::{Scope, spawn};
use mainspring_sim::{Host, World};
use mainspring_stand_ins::postgres::{Kind, Rows};
use mainspring_stand_ins::{Behaviour, Postgres, StandIn};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::types::Type;
use tokio_postgres::{Config, NoTls};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use super::client::{Client, Error};
use super::room::{Verdict, holds, is_found};

/// What a request may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Requests at a time; beyond, they are shed.
const CONCURRENCY_MAX: usize = 16;

/// Connections to the database.
const SESSIONS_MAX: usize = 4;

/// Bytes of a body.
const BODY_BYTES_MAX: usize = 512;

const PRICE: &str = "SELECT price FROM things WHERE id = $1";
const ORDER: &str = "INSERT INTO orders VALUES ($1, $2)";

/// What is wrong with a shop.
#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    /// The task of a connection to the database is nobody's: it waits for as long as the database says nothing.
    Leak,
    /// Who is dropped while it asks the database leaves its place there taken.
    Permit,
}

// ---- the service: what its users write ----

/// What has gone wrong.
struct Failed(BoxError);

impl<E: Into<BoxError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::BAD_GATEWAY, self.0.to_string()).into_response()
    }
}

/// The connections to the database.
#[derive(Clone)]
struct Pool {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<Session>>>,
    places: Arc<Semaphore>,
    bug: Bug,
}

/// One of them. Its task is a child of its scope, and ends with it.
struct Session {
    client: tokio_postgres::Client,
    _task: OnThread<Scope>,
}

/// A session in use. One that is dropped, and not given back, is closed: nobody knows what comes next there.
struct Lease {
    session: Session,
    place: Option<OwnedSemaphorePermit>,
    pool: Pool,
}

impl Pool {
    fn new(address: SocketAddr, bug: Bug) -> Self {
        let places = Arc::new(Semaphore::new(SESSIONS_MAX));
        Self { address, idle: Arc::default(), places, bug }
    }

    async fn lease(&self) -> Result<Lease, BoxError> {
        let mut place = Some(Arc::clone(&self.places).acquire_owned().await?);
        if self.bug == Bug::Permit {
            place.take().expect("it was just taken").forget();
        }
        let idle = || self.idle.lock().expect("nobody panics with it").pop();
        let kept = core::iter::from_fn(idle).find(|session| !session.client.is_closed());
        let session = match kept {
            Some(session) => session,
            None => on_thread(self.connect()).await?,
        };
        Ok(Lease { session, place, pool: self.clone() })
    }

    async fn connect(&self) -> Result<Session, BoxError> {
        let stream = TokioIo::new(TcpStream::connect(self.address).await?);
        let mut config = Config::new();
        let connected = config.user("shop").dbname("shop").connect_raw(stream, NoTls).await?;
        let (client, connection) = connected;
        let scope = Scope::new();
        match self.bug {
            Bug::Leak => drop(spawn(connection)),
            _ => drop(scope.spawn(connection)),
        }
        Ok(Session { client, _task: OnThread::new(scope) })
    }
}

impl Lease {
    fn give_back(self) {
        if self.place.is_none() {
            self.pool.places.add_permits(1);
        }
        self.pool.idle.lock().expect("nobody panics with it").push(self.session);
    }
}

async fn price(
    State(pool): State<Pool>,
    path: MatchedPath,
    Path(id): Path<i32>,
    Query(query): Query<BTreeMap<String, i32>>,
) -> Result<Json<BTreeMap<String, i32>>, Failed> {
    let lease = pool.lease().await?;
    let rows = lease.session.client.query_typed(PRICE, &[(&id, Type::INT4)]).await?;
    lease.give_back();
    let price: i32 = rows.first().ok_or("there is no such thing")?.try_get(0)?;
    let count = query.get("count").copied().unwrap_or(1);
    Ok(Json(BTreeMap::from([(path.as_str().to_owned(), id), ("price".to_owned(), price * count)])))
}

async fn order(
    State(pool): State<Pool>,
    Json(order): Json<BTreeMap<String, i32>>,
) -> Result<StatusCode, Failed> {
    let (id, count) = (order.get("id").ok_or("no id")?, order.get("count").ok_or("no count")?);
    let lease = pool.lease().await?;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), _); 2] =
        [(id, Type::INT4), (count, Type::INT4)];
    lease.session.client.query_typed(ORDER, &parameters).await?;
    lease.give_back();
    Ok(StatusCode::CREATED)
}

async fn broken() -> &'static str {
    panic!("on purpose: a handler with a bug")
}

/// A timeout by the driver's time: that of `tower` asks for tokio's.
async fn deadline(request: Request, next: Next) -> Response {
    match on_thread(timeout(DEADLINE, next.run(request))).await {
        Ok(response) => response,
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

fn router(pool: Pool) -> Router {
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(SetResponseHeaderLayer::overriding(SERVER, HeaderValue::from_static("shop")))
        .layer(CatchPanicLayer::new())
        .layer(HandleErrorLayer::new(|_: BoxError| async { StatusCode::SERVICE_UNAVAILABLE }))
        .load_shed()
        .concurrency_limit(CONCURRENCY_MAX)
        .layer(from_fn(deadline))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX));
    Router::new()
        .route("/things/{id}", get(price))
        .route("/orders", post(order))
        .route("/health", get(async || "well"))
        .route("/broken", get(broken))
        .layer(stack)
        .with_state(pool)
}

/// The program: until a signal.
async fn shop(own: SocketAddr, database: SocketAddr, bug: Bug) {
    let mut signals = Signals::subscribe().expect("signals can be watched");
    let listener = TcpListener::bind(own, Default::default()).expect("a free port");
    let router = router(Pool::new(database, bug));
    let served = HyperServer::new().serve_tower(listener, router, signals.next()).await;
    assert_eq!(served.expect("panics are caught").connections_cut, 0);
}

// ---- the room ----

const SECOND: Duration = Duration::from_secs(1);

/// How long the database stands still, and when all is to be as before.
const STALL: core::ops::Range<u32> = 4..12;
const RECOVERED: u32 = 20;

/// When the service is told to end; requests go on until then.
const DEPLOY: u32 = 30;

/// A packet that is lost now and then, and sent again later, and later still.
const SLACK: Duration = Duration::from_secs(8);

fn at(second: u32) -> Instant {
    Instant::START + SECOND * second
}

/// What a client asks, and what it is told whatever the database does; `None`: that depends on it.
const QUESTIONS: [(Method, &str, &str, Option<StatusCode>); 7] = [
    (Method::GET, "/things/7?count=3", "", None),
    (Method::POST, "/orders", r#"{"id":7,"count":3}"#, None),
    (Method::POST, "/orders", r#"{"id":"#, Some(StatusCode::BAD_REQUEST)),
    (Method::POST, "/orders", "…", Some(StatusCode::PAYLOAD_TOO_LARGE)),
    (Method::GET, "/health", "", Some(StatusCode::OK)),
    (Method::GET, "/nowhere", "", Some(StatusCode::NOT_FOUND)),
    (Method::GET, "/broken", "", Some(StatusCode::INTERNAL_SERVER_ERROR)),
];

/// Asks for one thing, and gives how long that took.
async fn ask(client: &mut Client, question: usize) -> Result<Duration, Error> {
    let (method, path, body, told) = QUESTIONS[question].clone();
    let body = if body == "…" { "x".repeat(BODY_BYTES_MAX + 1) } else { body.to_owned() };
    let began = now();
    let (status, body) = client.ask(method, path, body).await?;
    let expected = match told {
        Some(told) => status == told,
        None if status == StatusCode::OK => body == r#"{"/things/{id}":7,"price":126}"#,
        None if is_stalled(began) => {
            matches!(status, StatusCode::GATEWAY_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE)
                || status == StatusCode::CREATED
        }
        None => status == StatusCode::CREATED,
    };
    assert!(expected, "{path} at {began}: {status} {body:?}");
    Ok(now() - began)
}

/// Whether the database may be felt to stand still, or to have stood still, at that moment.
fn is_stalled(moment: Instant) -> bool {
    at(STALL.start) <= moment + SLACK && moment < at(RECOVERED)
}

/// Asks once a second or so, on one connection while that is kept, until the deploy ends it.
async fn patient(host: Host, shop: SocketAddr, answered: Rc<Cell<u64>>) {
    let asking = async {
        loop {
            let mut client = Client::connect(shop).await?;
            loop {
                sleep(Duration::from_millis(500 + host.choose(1000))).await;
                let question = host.choose(QUESTIONS.len() as u64);
                let question = usize::try_from(question).expect("few");
                let asked = ask(&mut client, question).await;
                if QUESTIONS[question].3 == Some(StatusCode::PAYLOAD_TOO_LARGE) {
                    // hyper closes where it does not read a body to its end, and what comes then resets: that may overtake the
                    // answer.
                    break;
                }
                let took = asked?;
                assert!(took < DEADLINE + SLACK, "it took {took:?}");
                answered.set(answered.get() + 1);
            }
        }
    };
    let ended: Result<(), Error> = asking.await;
    let error = ended.expect_err("it goes on as long as the shop does");
    assert!(now() >= at(DEPLOY), "before the deploy: {error}");
}

/// Asks for a price, and leaves before it is there.
async fn impatient(host: Host, shop: SocketAddr) {
    while now() < at(DEPLOY) {
        sleep(Duration::from_millis(500)).await;
        let asked = async {
            let mut client = Client::connect(shop).await?;
            client.get("/things/7").await
        };
        drop(timeout(Duration::from_millis(host.choose(400)), asked).await);
    }
}

fn database(host: &Host) -> StandIn<Postgres> {
    let things = Rows::new(&[("price", Kind::Int4)]).row([42.into()]);
    Postgres::new().answer(PRICE, things).does(ORDER, "INSERT 0 1").serve(host, 5432)
}

fn room(world: &World, bug: Bug) -> Verdict {
    let (host, db) = (world.host("shop"), world.host("db"));
    let stand_in = database(&db);
    stand_in.behave(Behaviour::Stall { after: 0 }).from(at(STALL.start)).until(at(STALL.end));
    let (own, database) = (host.address(80), db.address(5432));
    host.run(shop(own, database, bug));
    let answered = Rc::new(Cell::new(0));
    for name in ["one", "two", "three"] {
        let client = world.host(name);
        client.run(patient(client.clone(), own, Rc::clone(&answered)));
    }
    let client = world.host("four");
    client.run(impatient(client.clone(), own));
    world.at(at(DEPLOY), move |_| host.signal(Signal::Terminate));
    db.run(async move {
        sleep_until(at(DEPLOY) + Duration::from_secs(60)).await;
        assert_eq!(stand_in.open_count(), 0, "nobody is left at the database");
        stand_in.stop();
    });
    Box::new(move || Ok(answered.get()))
}

#[test]
fn an_axum_service_outlives_its_stalled_database() {
    holds(
        |world| room(world, Bug::None),
        &["axum: 16 bytes of entropy", "hyper: the date", "tower-http: the time"],
    );
}

#[test]
fn a_handler_that_leaks_a_task_is_found() {
    is_found(|world| room(world, Bug::Leak), "nobody is left at the database");
}

#[test]
fn a_handler_that_forgets_a_permit_is_found() {
    is_found(|world| room(world, Bug::Permit), "504 Gateway Timeout");
}
