//! What the stand-in for the PostgreSQL server answers is what the real one answers: message by message, the same table
//! for both, by a client that is none of a library.

use core::net::SocketAddr;
use core::time::Duration;

use futures::FutureExt;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_stand_ins::Postgres;

use super::cluster::Cluster;
use super::worlds::{in_rooms, on_system, stand_in};

/// A message of a client.
enum Say {
    Query(&'static str),
    /// A name, and a query with at most one parameter.
    Parse(&'static str, &'static str),
    /// Of a statement, with text in and out.
    Bind(&'static str, &'static [&'static str]),
    DescribeStatement(&'static str),
    DescribePortal,
    Execute,
    CloseStatement(&'static str),
    Sync,
}

use Say::{Bind, CloseStatement, DescribePortal, DescribeStatement, Execute, Parse, Query, Sync};

/// What is said, and the types of the messages that come back up to where it is our turn; with the value of each row
/// and the code of each error.
const TABLE: &[(&[Say], &str)] = &[
    (&[Query("SELECT 7")], "T D(7) C Z"),
    (&[Query("SELECT 7 / 2;")], "T D(3) C Z"),
    (&[Query("SELECT pg_sleep(0)")], "T D() C Z"),
    (&[Query("SELECT 1 / 0")], "E(22012) Z"),
    (&[Query("SELECT 2147483647 + 1")], "E(22003) Z"),
    (&[Query("SELEC 1")], "E(42601) Z"),
    (&[Query(" ; ")], "I Z"),
    (&[Query("SET statement_timeout = 0")], "C Z"),
    // A transaction that has failed does nothing more, and its commit is a rollback.
    (&[Query("BEGIN"), Query("SELECT 1 / 0"), Query("SELECT 7")], "C Z E(22012) Z E(25P02) Z"),
    (&[Query("COMMIT"), Query("SELECT 7")], "C Z T D(7) C Z"),
    (&[Parse("", "BEGIN"), Bind("", &[]), DescribePortal, Execute, Sync], "1 2 n C Z"),
    (&[Query("ROLLBACK")], "C Z"),
    // Nor does what was prepared before it failed, but for its end.
    (
        &[
            Parse("kept", "SELECT 7"),
            Parse("end", "ROLLBACK"),
            Parse("", "BEGIN"),
            Bind("", &[]),
            Execute,
            Sync,
        ],
        "1 1 1 2 C Z",
    ),
    (
        &[Bind("kept", &[]), DescribePortal, Query("SELECT 1 / 0"), Execute, Sync],
        "2 T E(22012) Z E(25P02) Z",
    ),
    (&[Bind("kept", &[]), Execute, Sync], "E(25P02) Z"),
    (&[DescribeStatement("kept"), Sync], "E(25P02) Z"),
    (&[DescribeStatement("end"), Bind("end", &[]), Execute, Sync], "t n 2 C Z"),
    (&[Bind("kept", &[]), Execute, Sync], "2 D(7) C Z"),
    (&[CloseStatement("kept"), CloseStatement("end"), Sync], "3 3 Z"),
    (&[Query("SELECT $1::INT4")], "E(42P02) Z"),
    (
        &[
            Parse("", "SELECT $1::INT4 + 1"),
            Bind("", &["41"]),
            DescribeStatement(""),
            Execute,
            Sync,
        ],
        "1 2 t T D(42) C Z",
    ),
    (
        &[Parse("a", "SELECT $1::INT4 / 2"), Bind("a", &["9"]), DescribePortal, Execute, Sync],
        "1 2 T D(4) C Z",
    ),
    (&[Bind("a", &["-9"]), Execute, Sync, Sync], "2 D(-4) C Z Z"),
    (&[CloseStatement("a"), Bind("a", &["9"]), Execute, Sync], "3 E(26000) Z"),
    // After an error, all is skipped up to the sync.
    (&[Parse("", "SELEC 1"), Bind("", &[]), Execute, Sync], "E(42601) Z"),
    (&[Parse("", "SELECT 1 / 0"), Bind("", &[]), Execute, Sync], "1 E(22012) Z"),
    (&[Execute, Parse("", "SELECT 1"), Sync], "E(34000) Z"),
];

/// Puts a message: a type, unless it is the first of a connection, and a length in front of the body.
fn put(output: &mut Vec<u8>, kind: Option<u8>, body: &[u8]) {
    output.extend(kind);
    output.extend(u32::try_from(body.len() + 4).expect("it is short").to_be_bytes());
    output.extend_from_slice(body);
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn say(output: &mut Vec<u8>, message: &Say) {
    let described = |what: &[u8], name| [what, &text(name)].concat();
    let (kind, body) = match message {
        Query(query) => (b'Q', text(query)),
        Parse(name, query) => (b'P', [text(name), text(query), vec![0, 0]].concat()),
        Bind(statement, values) => {
            let mut body = [text(""), text(statement), vec![0, 0]].concat();
            body.extend([0, u8::try_from(values.len()).expect("few")]);
            values.iter().for_each(|value| put_value(&mut body, value));
            body.extend([0, 0]);
            (b'B', body)
        }
        DescribeStatement(name) => (b'D', described(b"S", name)),
        DescribePortal => (b'D', described(b"P", "")),
        Execute => (b'E', [text(""), vec![0; 4]].concat()),
        CloseStatement(name) => (b'C', described(b"S", name)),
        Sync => (b'S', Vec::new()),
    };
    put(output, Some(kind), &body);
}

fn put_value(body: &mut Vec<u8>, value: &str) {
    body.extend(u32::try_from(value.len()).expect("it is short").to_be_bytes());
    body.extend(value.as_bytes());
}

/// A connection, told message by message.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
    /// What a request to cancel must tell.
    key: [u8; 8],
}

impl Client {
    async fn start(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let mut client = Self { stream, address, key: [0; 8] };
        let mut first = Vec::new();
        put(
            &mut first,
            None,
            &[&[0, 3, 0, 0], &text("user")[..], &text("postgres"), &[0]].concat(),
        );
        client.send(&first).await;
        loop {
            match client.receive().await {
                (b'K', key) => client.key = key.try_into().expect("a number and a secret"),
                (b'Z', _) => return client,
                (kind, _) => assert!(b"RSN".contains(&kind), "{}", char::from(kind)),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.stream.buffered().len() < count {
            assert_ne!(self.stream.fill().await.expect("the server is there"), 0);
        }
        let bytes = self.stream.buffered()[..count].to_vec();
        self.stream.consume(count);
        bytes
    }

    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let kind = self.take(1).await[0];
        let length = self.take(4).await.try_into().expect("four bytes");
        let body = self.take(u32::from_be_bytes(length) as usize - 4).await;
        (kind, body)
    }

    /// What comes back up to where it is our turn so many times.
    async fn answers(&mut self, turns: usize) -> String {
        let mut answers = Vec::new();
        let mut left = turns;
        while left > 0 {
            let (kind, body) = self.receive().await;
            left -= usize::from(kind == b'Z');
            let name = char::from(kind);
            answers.push(match kind {
                // One column, whose value comes behind its length.
                b'D' => format!("{name}({})", String::from_utf8_lossy(&body[6..])),
                b'E' => format!("{name}({})", code(&body)),
                _ => name.to_string(),
            });
        }
        answers.join(" ")
    }

    /// Asks on a connection of its own to cancel what runs here.
    async fn cancel(&self, key: &[u8]) {
        const CANCEL: [u8; 4] = 80_877_102_u32.to_be_bytes();
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        let mut request = Vec::new();
        put(&mut request, None, &[&CANCEL, key].concat());
        stream.write_all(&request).await.expect("the server reads");
        assert_eq!(stream.fill().await.expect("an orderly end"), 0, "without a word");
    }
}

/// The code among the fields of an error.
fn code(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let code = fields.filter_map(|field| field.strip_prefix(b"C")).next();
    String::from_utf8_lossy(code.expect("an error has a code")).into_owned()
}

async fn conversation(address: SocketAddr) {
    let mut client = Client::start(address).await;
    for (messages, expected) in TABLE {
        let mut output = Vec::new();
        messages.iter().for_each(|message| say(&mut output, message));
        client.send(&output).await;
        let turns = messages.iter().filter(|message| matches!(message, Query(_) | Sync));
        assert_eq!(client.answers(turns.count()).await, *expected, "{}", output.escape_ascii());
    }
    only_with_its_secret(&mut client).await;
    client.send(&[b'X', 0, 0, 0, 4]).await;
    assert_eq!(client.stream.fill().await.expect("an orderly end"), 0);
}

/// A request to cancel with another secret does nothing; nor does one while nothing runs.
async fn only_with_its_secret(client: &mut Client) {
    client.cancel(&client.key).await;
    let mut output = Vec::new();
    say(&mut output, &Query("SELECT pg_sleep(1)"));
    client.send(&output).await;
    sleep(Duration::from_millis(200)).await;
    let mut other = client.key;
    other[7] ^= 1;
    client.cancel(&other).await;
    assert_eq!(client.answers(1).await, "T D() C Z");
}

#[test]
fn the_real_server_answers_as_the_table_says() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.address();
    on_system(|| conversation(address));
}

#[test]
fn the_stand_in_answers_as_the_table_says() {
    in_rooms(
        |listener, stop| stand_in(Postgres::new(), listener, stop).boxed_local(),
        |address| conversation(address).boxed_local(),
    );
}
