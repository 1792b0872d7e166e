//! Redis: one conversation, with a real server on the operating system and with the stand-in in the simulated room.

use core::net::SocketAddr;
use core::time::Duration;

use futures::FutureExt;
use mainspring_executor::time::sleep;
use mainspring_stand_ins::Redis;

use super::redis_server::RedisServer;
use super::resp::Resp;
use super::worlds::{in_rooms, on_system, stand_in};

/// What is said, and what it is answered: by both.
const TABLE: &[(&str, &str)] = &[
    ("FLUSHALL", "+OK"),
    ("PING", "+PONG"),
    ("PING hello", "\"hello\""),
    ("ECHO hello", "\"hello\""),
    ("SELECT 0", "+OK"),
    ("CLIENT SETNAME x", "+OK"),
    ("GET a", "nil"),
    ("SET a 1", "+OK"),
    ("get a", "\"1\""),
    ("INCR a", ":2"),
    ("INCRBY a 40", ":42"),
    ("DECR a", ":41"),
    ("INCRBY a x", "-ERR value is not an integer or out of range"),
    ("APPEND a .5", ":4"),
    ("INCR a", "-ERR value is not an integer or out of range"),
    ("STRLEN a", ":4"),
    ("SET max 9223372036854775807", "+OK"),
    ("INCR max", "-ERR increment or decrement would overflow"),
    ("MSET b 2 c 3", "+OK"),
    ("MSET b 2 c", "-ERR wrong number of arguments for 'mset' command"),
    ("MGET b nothing c", "[\"2\", nil, \"3\"]"),
    ("EXISTS b c nothing b", ":3"),
    ("DBSIZE", ":4"),
    ("DEL b nothing", ":1"),
    ("SET b 1 NX", "+OK"),
    ("SET b 2 NX", "nil"),
    ("SET nothing 2 XX", "nil"),
    // What is left is asked in one transaction, however long the way to the server is.
    ("MULTI", "+OK"),
    ("SET b 3 XX EX 100", "+QUEUED"),
    ("TTL b", "+QUEUED"),
    ("EXEC", "[+OK, :100]"),
    ("SET b 3", "+OK"),
    ("TTL b", ":-1"),
    ("TTL nothing", ":-2"),
    ("MULTI", "+OK"),
    ("EXPIRE b 50", "+QUEUED"),
    ("TTL b", "+QUEUED"),
    ("EXPIRE nothing 50", "+QUEUED"),
    ("INCR b", "+QUEUED"),
    ("TTL b", "+QUEUED"),
    ("EXEC", "[:1, :50, :0, :4, :50]"),
    ("EXPIRE b 0", ":1"),
    ("GET b", "nil"),
    ("SET b 1 EX 0", "-ERR invalid expire time in 'set' command"),
    ("SET b 1 EX x", "-ERR value is not an integer or out of range"),
    ("SET b 1 EX", "-ERR syntax error"),
    ("SET b 1 NX XX", "-ERR syntax error"),
    ("SETEX b 10 1", "+OK"),
    ("SETEX b 0 1", "-ERR invalid expire time in 'setex' command"),
    ("RPUSH list 1 2 3", ":3"),
    ("LPUSH list 0", ":4"),
    ("LRANGE list 0 -1", "[\"0\", \"1\", \"2\", \"3\"]"),
    ("LRANGE list -2 9", "[\"2\", \"3\"]"),
    ("LRANGE list 3 1", "[]"),
    ("LRANGE list -9223372036854775808 9223372036854775807", "[\"0\", \"1\", \"2\", \"3\"]"),
    ("LRANGE list 9223372036854775807 -9223372036854775808", "[]"),
    ("LRANGE nothing 0 -1", "[]"),
    ("LPOP list", "\"0\""),
    ("RPOP list", "\"3\""),
    ("LLEN list", ":2"),
    ("LPOP nothing", "nil"),
    ("GET list", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("HGET list x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("MGET list a", "[nil, \"41.5\"]"),
    ("HSET hash one 1", ":1"),
    ("HSET hash one 1 two 2", ":1"),
    ("HSET hash one", "-ERR wrong number of arguments for 'hset' command"),
    ("HGET hash two", "\"2\""),
    ("HGET hash three", "nil"),
    ("HGETALL hash", "[\"one\", \"1\", \"two\", \"2\"]"),
    ("HDEL hash one two three", ":2"),
    ("EXISTS hash", ":0"),
    ("MULTI", "+OK"),
    ("MULTI", "-ERR MULTI calls can not be nested"),
    ("SET t 1", "+QUEUED"),
    ("INCR list", "+QUEUED"),
    ("GET t", "+QUEUED"),
    ("EXEC", "[+OK, -WRONGTYPE Operation against a key holding the wrong kind of value, \"1\"]"),
    ("EXEC", "-ERR EXEC without MULTI"),
    ("MULTI", "+OK"),
    ("SET t 2", "+QUEUED"),
    ("DISCARD", "+OK"),
    ("DISCARD", "-ERR DISCARD without MULTI"),
    ("GET t", "\"1\""),
    ("MULTI", "+OK"),
    ("GET", "-ERR wrong number of arguments for 'get' command"),
    ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ("WATCH t", "+OK"),
    ("SET t 3", "+OK"),
    ("MULTI", "+OK"),
    ("WATCH t", "-ERR WATCH inside MULTI is not allowed"),
    ("SET t 4", "+QUEUED"),
    ("EXEC", "nil"),
    ("GET t", "\"3\""),
    ("WATCH t", "+OK"),
    ("UNWATCH", "+OK"),
    ("SET t 5", "+OK"),
    ("MULTI", "+OK"),
    ("GET t", "+QUEUED"),
    ("EXEC", "[\"5\"]"),
    // What was refused, or changes nothing, is no write.
    ("HSET hash one 1", ":1"),
    ("WATCH t hash", "+OK"),
    ("RPUSH t 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("LPOP t", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("HSET t one 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("HDEL t one", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ("HDEL hash two", ":0"),
    ("MULTI", "+OK"),
    ("GET t", "+QUEUED"),
    ("EXEC", "[\"5\"]"),
    ("WATCH hash", "+OK"),
    ("HDEL hash one two", ":1"),
    ("MULTI", "+OK"),
    ("GET t", "+QUEUED"),
    ("EXEC", "nil"),
    ("NOTHING a b", "-ERR unknown command 'NOTHING', with args beginning with: 'a' 'b' "),
    ("HELLO 9", "-NOPROTO unsupported protocol version"),
    ("PUBLISH nobody x", ":0"),
];

pub(super) async fn conversation(address: SocketAddr) {
    let mut client = Resp::connect(address).await;
    for (command, expected) in TABLE {
        let reply = client.ask(command).await.expect("a reply");
        assert_eq!(reply, *expected, "{command}");
    }
    pipelined(&mut client).await;
    expiring(&mut client).await;
    watched(&mut client, address).await;
    channels(&mut client, address).await;
    assert_eq!(client.ask("QUIT").await.expect("a reply"), "+OK");
    assert!(client.reply().await.is_err(), "the connection ends");
}

/// Commands that are sent without waiting are answered in their order.
async fn pipelined(client: &mut Resp) {
    for number in 0..20 {
        client.say(&format!("ECHO {number}")).await.expect("it reads");
    }
    for number in 0..20 {
        assert_eq!(client.reply().await.expect("a reply"), format!("\"{number}\""));
    }
}

/// A key is there for its time, and then it is not.
async fn expiring(client: &mut Resp) {
    for (command, expected) in [
        ("MULTI", "+OK"),
        ("SET short 1 PX 2000", "+QUEUED"),
        ("GET short", "+QUEUED"),
        ("EXEC", "[+OK, \"1\"]"),
    ] {
        assert_eq!(client.ask(command).await.expect("a reply"), expected, "{command}");
    }
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(client.ask("GET short").await.expect("a reply"), "nil");
}

/// A transaction of one does nothing where another changed what it watches.
async fn watched(client: &mut Resp, address: SocketAddr) {
    let mut other = Resp::connect(address).await;
    for (changes, expected) in [(false, "[:6]"), (true, "nil")] {
        assert_eq!(client.ask("SET w 5").await.expect("a reply"), "+OK");
        assert_eq!(client.ask("WATCH w").await.expect("a reply"), "+OK");
        if changes {
            assert_eq!(other.ask("APPEND w 0").await.expect("a reply"), ":2");
        }
        assert_eq!(client.ask("MULTI").await.expect("a reply"), "+OK");
        assert_eq!(client.ask("INCR w").await.expect("a reply"), "+QUEUED");
        assert_eq!(client.ask("EXEC").await.expect("a reply"), expected);
    }
}

/// Who listens is told what is published, and may do little else.
async fn channels(client: &mut Resp, address: SocketAddr) {
    let mut other = Resp::connect(address).await;
    client.say("SUBSCRIBE one two").await.expect("it reads");
    assert_eq!(client.reply().await.expect("a reply"), "[\"subscribe\", \"one\", :1]");
    assert_eq!(client.reply().await.expect("a reply"), "[\"subscribe\", \"two\", :2]");
    assert_eq!(other.ask("PUBLISH two news").await.expect("a reply"), ":1");
    assert_eq!(client.reply().await.expect("a message"), "[\"message\", \"two\", \"news\"]");
    assert_eq!(
        client.ask("GET a").await.expect("a reply"),
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context"
    );
    assert_eq!(client.ask("PING").await.expect("a reply"), "[\"pong\", \"\"]");
    assert_eq!(
        client.ask("UNSUBSCRIBE one").await.expect("a reply"),
        "[\"unsubscribe\", \"one\", :1]"
    );
    assert_eq!(client.ask("UNSUBSCRIBE").await.expect("a reply"), "[\"unsubscribe\", \"two\", :0]");
    assert_eq!(client.ask("UNSUBSCRIBE").await.expect("a reply"), "[\"unsubscribe\", nil, :0]");
    assert_eq!(other.ask("PUBLISH two news").await.expect("a reply"), ":0");
    assert_eq!(client.ask("GET a").await.expect("a reply"), "\"41.5\"");
}

#[test]
fn a_real_server_answers_as_the_table_says() {
    let Some(server) = RedisServer::start() else { return };
    let address = server.address();
    on_system(|| conversation(address));
}

#[test]
fn the_stand_in_for_redis_answers_as_the_table_says() {
    in_rooms(
        |listener, stop| stand_in(Redis::new(), listener, stop).boxed_local(),
        |address| conversation(address).boxed_local(),
    );
}
