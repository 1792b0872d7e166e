//! The PostgreSQL server: what tokio-postgres sees of each of its behaviours. What it answers when it behaves well is compared with
//! the real one in `tests/tests/compat/postgres.rs`.
//!
//! Queries are asked by `query_typed`, which needs no name: the names of prepared statements come from a counter of the process, and
//! get longer as it counts, which would make two runs differ.

use core::net::SocketAddr;
use core::time::Duration;

use mainspring_executor::compat::TokioIo;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_executor::{JoinHandle, spawn};
use mainspring_stand_ins::postgres::{Kind, PostgresError, Rows, Value};
use mainspring_stand_ins::{
    Behaviour, Beyond, Postgres, PostgresBehaviour as Is, PostgresQuestion,
};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::room::{check, ms, timed};

/// More than anybody waits.
const HOUR: Duration = ms(3_600_000);

const USERS: &str = "SELECT id, name FROM users";

fn database() -> Postgres {
    let users = Rows::new(&[("id", Kind::Int4), ("name", Kind::Text)]);
    let users = users.row([1.into(), "Ada".into()]).row([2.into(), Value::Null]);
    let one =
        Rows::new(&[("name", Kind::Text)]).computed(|parameters| match parameters[0].as_deref() {
            Some("1") => Ok(vec![vec!["Ada".into()]]),
            Some("0") => Err(PostgresError::new("22023", "there is no user 0")),
            _ => Ok(Vec::new()),
        });
    let all = [("b", Kind::Bool), ("i", Kind::Int8), ("f", Kind::Float8)];
    Postgres::new()
        .answer(USERS, users)
        .answer("SELECT name FROM users WHERE id = $1", one)
        .answer("SELECT * FROM kinds", Rows::new(&all).row([true.into(), 7_i64.into(), 1.5.into()]))
        .does("INSERT INTO users VALUES ($1, $2)", "INSERT 0 1")
        .fails("SELECT * FROM nothing", PostgresError::new("42P01", "no such table"))
}

async fn stream(address: SocketAddr) -> TokioIo<TcpStream> {
    TokioIo::new(TcpStream::connect(address).await.expect("the server listens"))
}

type Connection = JoinHandle<Result<(), Error>>;

async fn try_connect(address: SocketAddr) -> Result<(Client, Connection), Error> {
    let mut config = Config::new();
    config.user("postgres").dbname("postgres");
    let (client, connection) = config.connect_raw(stream(address).await, NoTls).await?;
    Ok((client, spawn(connection)))
}

async fn connect(address: SocketAddr) -> (Client, Connection) {
    try_connect(address).await.expect("the server trusts us")
}

/// The names of all users, or the code of the error, or `closed`.
async fn users(client: &Client) -> String {
    match client.query_typed(USERS, &[]).await {
        Ok(rows) => {
            let name = |row: &tokio_postgres::Row| {
                let (id, name): (i32, Option<&str>) = (row.get(0), row.get(1));
                format!("{id} {}", name.unwrap_or("-"))
            };
            rows.iter().map(name).collect::<Vec<_>>().join(", ")
        }
        Err(error) => why(&error),
    }
}

fn why(error: &Error) -> String {
    match error.code() {
        Some(code) => code.code().to_owned(),
        None if error.is_closed() => "closed".to_owned(),
        None => error.to_string(),
    }
}

const RIGHT: &str = "1 Ada, 2 -";

/// Checks what a query sees under a behaviour that holds once, and what the next one sees on the same session.
#[track_caller]
fn outcome(behaviour: Is, expected: &'static str, then: &'static str) {
    check(database, move |server, address| {
        let behaviour = behaviour.clone();
        async move {
            let (client, _connection) = connect(address).await;
            server.behave(behaviour.clone()).once();
            assert_eq!(users(&client).await, expected, "{behaviour:?}");
            assert_eq!(users(&client).await, then, "after {behaviour:?}");
        }
    });
}

/// Checks that a query never ends.
#[track_caller]
fn stalls(behaviour: Is) {
    check(database, move |server, address| {
        let behaviour = behaviour.clone();
        async move {
            let (client, connection) = connect(address).await;
            server.behave(behaviour.clone());
            let asked = timeout(HOUR, users(&client)).await;
            assert!(asked.is_err(), "{behaviour:?}: {asked:?}");
            connection.abort();
        }
    });
}

#[test]
fn queries_have_the_answers_that_were_given() {
    check(database, |server, address| async move {
        let (client, _connection) = connect(address).await;
        assert_eq!(users(&client).await, RIGHT);
        let by_id = "select name  from users\nwhere id = $1;";
        let name = client.query_typed(by_id, &[(&1_i32, Type::INT4)]).await.expect("rows");
        assert_eq!(name[0].get::<_, &str>(0), "Ada");
        let none = client.query_typed(by_id, &[(&9_i32, Type::INT4)]).await.expect("rows");
        assert!(none.is_empty());
        let error = client.query_typed(by_id, &[(&0_i32, Type::INT4)]).await.unwrap_err();
        assert_eq!(why(&error), "22023");
        let row = client.query_typed_one("SELECT * FROM kinds", &[]).await.expect("a row");
        let values: (bool, i64, f64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(values, (true, 7, 1.5));
        let count = client
            .execute_typed(
                "INSERT INTO users VALUES ($1, $2)",
                &[(&3_i32, Type::INT4), (&"Eve", Type::TEXT)],
            )
            .await;
        assert_eq!(count.expect("it does"), 1);
        let error = client.query_typed("SELECT * FROM nothing", &[]).await.unwrap_err();
        assert_eq!(why(&error), "42P01");
        let error = client.query_typed("SELECT whatever", &[]).await.unwrap_err();
        assert_eq!(why(&error), "42601");
        let PostgresQuestion::Query { sql, parameters } = &server.asked()[5] else {
            panic!("{:?}", server.asked())
        };
        assert_eq!(sql, "INSERT INTO users VALUES ($1, $2)");
        assert_eq!(parameters, &[Some("3".to_owned()), Some("Eve".to_owned())]);
    });
}

#[test]
fn transactions() {
    check(database, |server, address| async move {
        let (mut client, _connection) = connect(address).await;
        let transaction = client.transaction().await.expect("it begins");
        assert_eq!(server.protocol().transaction_count(), 1);
        assert!(transaction.query_typed("SELECT * FROM nothing", &[]).await.is_err());
        let error = transaction.query_typed(USERS, &[]).await.unwrap_err();
        assert_eq!(why(&error), "25P02");
        transaction.commit().await.expect("it is rolled back");
        assert_eq!(server.protocol().transaction_count(), 0);
        assert_eq!(users(&client).await, RIGHT);
        // One that is dropped is rolled back by the client, before whatever comes next.
        drop(client.transaction().await.expect("it begins"));
        assert_eq!(users(&client).await, RIGHT);
        assert_eq!(server.protocol().transaction_count(), 0);
    });
}

#[test]
fn who_comes_is_rejected() {
    for (error, code) in [
        (PostgresError::too_many_connections(), "53300"),
        (PostgresError::starting_up(), "57P03"),
        (PostgresError::wrong_password(), "28P01"),
    ] {
        check(database, move |server, address| {
            let error = error.clone();
            async move {
                server.behave(Is::Reject(error)).times(2);
                for _ in 0..2 {
                    let error = try_connect(address).await.map(drop).unwrap_err();
                    assert_eq!(why(&error), code);
                }
                assert_eq!(users(&connect(address).await.0).await, RIGHT);
            }
        });
    }
}

#[test]
fn too_many_connections() {
    check(database, |server, address| async move {
        server.behave(Behaviour::Limit { connections: 1, beyond: Beyond::Tell });
        let (first, _connection) = connect(address).await;
        let error = try_connect(address).await.map(drop).unwrap_err();
        assert_eq!(why(&error), "53300");
        drop(first);
        sleep(ms(1000)).await;
        assert_eq!(users(&connect(address).await.0).await, RIGHT);
    });
}

#[test]
fn stalls_at_the_start() {
    for behaviour in [Is::StallAtStart, Is::StallAfterLogin] {
        check(database, move |server, address| {
            let behaviour = behaviour.clone();
            async move {
                server.behave(behaviour);
                assert!(timeout(HOUR, try_connect(address)).await.is_err());
            }
        });
    }
}

#[test]
fn errors_in_place_of_answers() {
    outcome(Is::Fail(PostgresError::serialization()), "40001", RIGHT);
    outcome(Is::Fail(PostgresError::deadlock()), "40P01", RIGHT);
    outcome(Is::Fail(PostgresError::read_only()), "25006", RIGHT);
    outcome(Is::Fail(PostgresError::statement_timeout()), "57014", RIGHT);
    outcome(Is::Fail(PostgresError::disk_full()), "53100", RIGHT);
    outcome(Is::FailAfterRows { rows: 1, error: PostgresError::deadlock() }, "40P01", RIGHT);
    outcome(Is::Terminate(PostgresError::shutting_down()), "57P01", "closed");
}

#[test]
fn stalls_in_answers() {
    stalls(Is::StallAfterRows(1));
    stalls(Is::StallBeforeReady);
}

#[test]
fn a_session_is_not_ready_before_its_server_says_so() {
    check(database, |server, address| async move {
        let (client, connection) = connect(address).await;
        server.behave(Is::StallBeforeReady);
        // The rows are there, the answer as a whole is not.
        let rows = client.query_typed_raw(USERS, Vec::<(i32, Type)>::new()).await;
        assert!(timeout(HOUR, async { rows.map(drop) }).await.is_ok());
        assert!(timeout(HOUR, users(&client)).await.is_err());
        connection.abort();
    });
}

#[test]
fn slow_queries_go_on_until_they_are_cancelled() {
    check(database, |server, address| async move {
        let (client, _connection) = connect(address).await;
        server.behave(Is::Slow(HOUR)).once();
        let dropped = timeout(ms(100), users(&client)).await;
        assert!(dropped.is_err());
        assert_eq!(server.protocol().running_count(), 1, "it runs on");
        let cancel = client.cancel_token();
        cancel.cancel_query_raw(stream(address).await, NoTls).await.expect("it listens");
        let (next, took) = timed(users(&client)).await;
        assert_eq!(next, RIGHT);
        assert!(took < ms(1000), "{took:?}");
        assert!(server.asked().contains(&PostgresQuestion::Cancel));
        assert_eq!(server.protocol().running_count(), 0);
    });
}

#[test]
fn times_do_not_overflow() {
    check(database, |server, address| async move {
        let (client, connection) = connect(address).await;
        server.behave(Is::Slow(HOUR)).once();
        let ever = client.query_typed("SELECT pg_sleep(18446744073709551615)", &[]);
        assert!(timeout(HOUR, ever).await.is_err());
        connection.abort();
    });
}

#[test]
fn cancel_is_ignored() {
    check(database, |server, address| async move {
        let (client, _connection) = connect(address).await;
        server.behave(Is::Slow(ms(60_000))).once();
        server.also(Is::IgnoreCancel);
        let begin = now();
        assert!(timeout(ms(100), users(&client)).await.is_err());
        let cancel = client.cancel_token();
        cancel.cancel_query_raw(stream(address).await, NoTls).await.expect("it listens");
        assert_eq!(users(&client).await, RIGHT);
        assert!(now() - begin >= ms(60_000), "the next one waits for all of it");
    });
}

#[test]
fn a_late_cancel_hits_the_next_query() {
    check(database, |server, address| async move {
        let (client, _connection) = connect(address).await;
        server.behave(Is::Slow(ms(2000)));
        server.also(Is::LateCancel(ms(3000)));
        assert!(timeout(ms(100), users(&client)).await.is_err());
        let cancel = client.cancel_token();
        let late = async {
            let cancelled = cancel.cancel_query_raw(stream(address).await, NoTls).await;
            cancelled.expect("it listens");
        };
        let (next, ()) = futures::join!(users(&client), late);
        assert_eq!(next, "57014", "which nobody wanted to cancel");
    });
}

#[test]
fn what_goes_wrong_with_any_server() {
    check(database, |server, address| async move {
        // In the middle of a row.
        for (behaviour, expected) in [
            (Behaviour::Close { after: 60 }, "closed"),
            (Behaviour::Leave { answers: 0 }, "closed"),
        ] {
            let (client, _connection) = connect(address).await;
            server.behave(behaviour.clone());
            assert_eq!(users(&client).await, expected, "{behaviour:?}");
        }
        let (client, _connection) = connect(address).await;
        server.behave(Behaviour::Drip { bytes: 1, every: ms(50) });
        let (answer, took) = timed(users(&client)).await;
        assert_eq!(answer, RIGHT);
        assert!(took > ms(4000), "{took:?}");
    });
}
