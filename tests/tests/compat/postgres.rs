//! tokio-postgres by `TokioIo`: one session, with a real server on the operating system and with the stand-in in the
//! simulated room.
//!
//! It asks by `query_typed`, which needs no name: the names of prepared statements come from a counter of the process,
//! and get longer as it counts, which would make two runs differ.

use core::net::SocketAddr;
use core::time::Duration;

use futures::{FutureExt, join};
use mainspring_executor::compat::TokioIo;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, timeout};
use mainspring_executor::{JoinHandle, spawn};
use mainspring_stand_ins::Postgres;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use super::cluster::Cluster;
use super::worlds::{in_rooms, on_system, stand_in};

/// How long the slow query is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the slow query takes if nobody cancels it: more than any run may take.
const SLOW: &str = "SELECT pg_sleep(600)";

/// So long until it is asked once more to cancel.
const CANCEL_PAUSE: Duration = Duration::from_secs(2);

/// So often.
const CANCELS_MAX: usize = 10;

async fn stream(address: SocketAddr) -> TokioIo<TcpStream> {
    TokioIo::new(TcpStream::connect(address).await.expect("the server listens"))
}

async fn connect(address: SocketAddr) -> (Client, JoinHandle<Result<(), Error>>) {
    let mut config = Config::new();
    config.user("postgres").dbname("postgres");
    let connected = config.connect_raw(stream(address).await, NoTls).await;
    let (client, connection) = connected.expect("the server trusts us");
    (client, spawn(connection))
}

async fn plus_one(client: &Client, number: i32) -> Result<i32, Error> {
    let row = client.query_typed_one("SELECT $1::INT4 + 1", &[(&number, Type::INT4)]).await?;
    row.try_get(0)
}

pub(super) async fn session(address: SocketAddr) {
    let (client, connection) = connect(address).await;
    assert_eq!(plus_one(&client, 41).await.expect("a row"), 42);
    // Both are sent before either is answered.
    let (first, second) = join!(plus_one(&client, 1), plus_one(&client, 2));
    assert_eq!((first.expect("a row"), second.expect("a row")), (2, 3));

    cancelled(&client, address).await;

    let error = client.query_typed("SELECT 1 / 0", &[]).await.expect_err("no number");
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    let error = client.query_typed("SELEC 1", &[]).await.expect_err("no SQL");
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR));
    // An error ends a query, not the session.
    let rows = client.simple_query("SELECT 7").await.expect("a row");
    let row = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(row, Some("7"));

    drop(client);
    connection.await.expect("no panic").expect("an orderly end");
}

/// A slow query is dropped. The server goes on with it, and what is asked next waits behind it, until a request on
/// another connection cancels it.
async fn cancelled(client: &Client, address: SocketAddr) {
    let begin = now();
    let dropped = timeout(PATIENCE, client.query_typed(SLOW, &[])).await;
    assert!(dropped.is_err(), "it takes longer");
    let mut next = Box::pin(plus_one(client, 10));
    let token = client.cancel_token();
    for _ in 0..CANCELS_MAX {
        let cancel = token.cancel_query_raw(stream(address).await, NoTls);
        cancel.await.expect("the server listens");
        // A request that comes too early is lost without a word. One that comes too late hits the next query.
        match timeout(CANCEL_PAUSE, &mut next).await {
            Err(_) => {}
            Ok(Err(error)) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                next = Box::pin(plus_one(client, 10));
            }
            Ok(row) => {
                assert_eq!(row.expect("a row"), 11);
                assert!(now() - begin >= PATIENCE);
                return;
            }
        }
    }
    panic!("the query was not cancelled");
}

#[test]
fn tokio_postgres_talks_to_a_real_server() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.address();
    on_system(|| session(address));
}

#[test]
fn tokio_postgres_talks_to_the_stand_in() {
    in_rooms(
        |listener, stop| stand_in(Postgres::new(), listener, stop).boxed_local(),
        |address| session(address).boxed_local(),
    );
}
