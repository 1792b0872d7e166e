//! A user of tokio-postgres: a pool of two sessions, queries with a deadline, and a request to cancel when that is over. Its
//! database is slow now and then, breaks off, and cancels late or not at all.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use mainspring_executor::compat::TokioIo;
use mainspring_executor::driver::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::{now, sleep, sleep_until, timeout};
use mainspring_executor::{Scope, spawn};
use mainspring_sim::{Host, World};
use mainspring_stand_ins::{Behaviour, Postgres, PostgresBehaviour};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls};

use super::room::{Verdict, holds, is_found};

/// What a query may take, and what cancelling it may.
const DEADLINE: Duration = Duration::from_secs(2);

/// Sessions of the pool.
const SESSIONS_MAX: usize = 2;

/// What a slow query takes if nobody cancels it.
const SLOW: Duration = Duration::from_secs(60);

/// What is wrong with a pool.
#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    /// A query that took too long is forgotten, and its session used again: the next one waits behind it.
    Ignored,
    /// The task of a connection is nobody's: where its answer does not come it waits for ever.
    Leak,
}

// ---- the user ----

struct Pool {
    database: SocketAddr,
    places: Semaphore,
    idle: RefCell<Vec<Session>>,
    bug: Bug,
}

struct Session {
    client: Client,
    _task: Scope,
}

/// Why there is no answer.
enum Trouble {
    Connect(io::Error),
    Query(Error),
    Late,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Query(error) => error.fmt(f),
            Self::Late => f.write_str("too late"),
        }
    }
}

impl Pool {
    /// The number after this one, as the database has it.
    async fn next(&self, number: i32) -> Result<i32, Trouble> {
        let _place = self.places.acquire().await.expect("nobody closes it");
        let session = self.session().await?;
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&number, Type::INT4)];
        let one = session.client.query_typed_one("SELECT $1::INT4 + 1", &parameters);
        match timeout(DEADLINE, one).await {
            Ok(Ok(row)) => {
                self.give_back(session);
                row.try_get(0).map_err(Trouble::Query)
            }
            Ok(Err(error)) => {
                if error.code() == Some(&SqlState::QUERY_CANCELED) {
                    // A request to cancel that came late was for somebody else. The session is well.
                    self.give_back(session);
                }
                Err(Trouble::Query(error))
            }
            Err(_) => {
                if self.bug == Bug::Ignored || self.is_cancelled(&session.client).await {
                    self.give_back(session);
                }
                Err(Trouble::Late)
            }
        }
    }

    async fn session(&self) -> Result<Session, Trouble> {
        while let Some(session) = self.idle.borrow_mut().pop() {
            if !session.client.is_closed() {
                return Ok(session);
            }
        }
        let connected = timeout(DEADLINE * 2, self.connect()).await;
        connected.map_err(|_| Trouble::Late)?
    }

    async fn connect(&self) -> Result<Session, Trouble> {
        let stream = TcpStream::connect(self.database).await.map_err(Trouble::Connect)?;
        let mut config = Config::new();
        let connected = config.user("app").connect_raw(TokioIo::new(stream), NoTls).await;
        let (client, connection) = connected.map_err(Trouble::Query)?;
        let scope = Scope::new();
        match self.bug {
            Bug::Leak => drop(spawn(connection)),
            _ => drop(scope.spawn(connection)),
        }
        Ok(Session { client, _task: scope })
    }

    /// Asks to cancel what runs there, and whether it has ended: then what is asked next is answered.
    async fn is_cancelled(&self, client: &Client) -> bool {
        let cancelled = async {
            let stream = TokioIo::new(TcpStream::connect(self.database).await.ok()?);
            client.cancel_token().cancel_query_raw(stream, NoTls).await.ok()?;
            client.simple_query("").await.ok()
        };
        timeout(DEADLINE, cancelled).await.is_ok_and(|answer| answer.is_some())
    }

    fn give_back(&self, session: Session) {
        self.idle.borrow_mut().push(session);
    }
}

// ---- the room ----

/// Until then the database may do anything, and from then on what it did before is over.
const TROUBLE_SECONDS: u64 = 30;
const WELL_SECONDS: u64 = 40;
const END_SECONDS: u64 = 60;

/// A packet that is lost now and then, and sent again later, and later still.
const SLACK: Duration = Duration::from_secs(8);

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

/// Asks for one number after the other.
async fn worker(host: Host, pool: Rc<Pool>, answered: Rc<Cell<u64>>) {
    while now() < at(END_SECONDS) {
        sleep(Duration::from_millis(host.choose(1000))).await;
        let number = i32::try_from(host.choose(1000)).expect("small");
        let began = now();
        match pool.next(number).await {
            Ok(next) => {
                assert_eq!(next, number + 1, "the answer to another question");
                answered.set(answered.get() + 1);
            }
            Err(trouble) => {
                assert!(began < at(WELL_SECONDS), "the database is well: {trouble}");
            }
        }
        let took = now() - began;
        assert!(took < DEADLINE * 8 + SLACK, "it took {took:?}");
    }
}

fn room(world: &World, bug: Bug) -> Verdict {
    let (app, db) = (world.host("app"), world.host("db"));
    let database = Postgres::new().serve(&db, 5432);
    let cancels = [
        None,
        Some(PostgresBehaviour::IgnoreCancel),
        Some(PostgresBehaviour::LateCancel(Duration::from_millis(500))),
    ];
    database.behave(PostgresBehaviour::Slow(SLOW)).one_in(4).until(at(TROUBLE_SECONDS));
    database.also(Behaviour::Break).one_in(10).until(at(TROUBLE_SECONDS));
    let cancel = usize::try_from(world.choose(3)).expect("one of three");
    if let Some(cancel) = cancels[cancel].clone() {
        database.also(cancel).until(at(TROUBLE_SECONDS));
    }
    let answered = Rc::new(Cell::new(0));
    let (address, counted) = (db.address(5432), Rc::clone(&answered));
    let host = app.clone();
    app.run(async move {
        let (places, idle) = (Semaphore::new(SESSIONS_MAX), RefCell::default());
        let pool = Rc::new(Pool { database: address, places, idle, bug });
        let scope = Scope::new();
        for _ in 0..4 {
            drop(scope.spawn(worker(host.clone(), Rc::clone(&pool), Rc::clone(&counted))));
        }
        scope.join().await.unwrap_or_else(|error| panic!("{error}"));
        // Idle sessions end with the pool.
        drop(pool);
        sleep_until(at(END_SECONDS * 3)).await;
        assert_eq!(database.open_count(), 0, "nobody is left at the database");
        assert_eq!(database.protocol().running_count(), 0, "no query runs on");
        database.stop();
    });
    Box::new(move || Ok(answered.get()))
}

#[test]
fn a_pool_outlives_slow_queries_and_late_cancels() {
    holds(|world| room(world, Bug::None), &["tokio-postgres: 16 bytes of entropy"]);
}

#[test]
fn a_query_that_is_not_cancelled_is_found() {
    is_found(|world| room(world, Bug::Ignored), "the database is well: too late");
}

#[test]
fn a_connection_that_nobody_ends_is_found() {
    is_found(|world| room(world, Bug::Leak), "nobody is left at the database");
}
