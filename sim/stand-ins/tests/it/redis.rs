//! The Redis server: what a client sees of each of its behaviours. What it answers when it behaves well is compared with the
//! real one in `tests/tests/compat/redis.rs`.

use mainspring_executor::time::{sleep, timeout};
use mainspring_stand_ins::{Behaviour, Beyond, Redis, RedisBehaviour as Is};

use crate::resp::Resp;
use crate::room::{check, ms};

fn cache() -> Redis {
    Redis::new().with("key", "value")
}

/// Checks the replies to some commands under a behaviour.
#[track_caller]
fn outcome(behaviour: Is, expected: &'static [(&'static str, &'static str)]) {
    check(cache, move |server, address| {
        let behaviour = behaviour.clone();
        async move {
            server.behave(behaviour.clone());
            let mut client = Resp::connect(address).await;
            for (command, reply) in expected {
                let said = client.ask(command).await.expect("a reply");
                assert_eq!(said, *reply, "{behaviour:?}: {command}");
            }
            server.behave_well();
            assert_eq!(client.ask("GET key").await.expect("a reply"), "\"value\"");
        }
    });
}

#[test]
fn errors_in_place_of_answers() {
    outcome(
        Is::Error("ERR oh no".to_owned()),
        &[("GET key", "-ERR oh no"), ("PING", "-ERR oh no")],
    );
    outcome(Is::Loading, &[("GET key", "-LOADING Redis is loading the dataset in memory")]);
    outcome(
        Is::Busy,
        &[(
            "GET key",
            "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        )],
    );
    outcome(
        Is::MasterDown,
        &[
            ("PING", "+PONG"),
            (
                "GET key",
                "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            ),
        ],
    );
    // The slot of `foo` is 12182 in the documentation of Redis Cluster; of a key with braces only these count.
    outcome(
        Is::Moved { to: "10.0.0.9:6379".to_owned() },
        &[
            ("PING", "+PONG"),
            ("GET foo", "-MOVED 12182 10.0.0.9:6379"),
            ("GET a{foo}b", "-MOVED 12182 10.0.0.9:6379"),
        ],
    );
}

#[test]
fn writes_are_refused() {
    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
    outcome(Is::OutOfMemory, &[("GET key", "\"value\""), ("SET a 1", OOM), ("DEL a", ":0")]);
    const READ_ONLY: &str = "-READONLY You can't write against a read only replica.";
    outcome(
        Is::ReadOnly,
        &[("GET key", "\"value\""), ("SET a 1", READ_ONLY), ("DEL a", READ_ONLY)],
    );
    outcome(Is::LosesWrites, &[("SET key other", "+OK"), ("GET key", "\"value\"")]);
}

#[test]
fn transactions() {
    const SPOILT: &str = "-EXECABORT Transaction discarded because of previous errors.";
    outcome(
        Is::ExecAborts,
        &[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", SPOILT), ("GET a", "nil")],
    );
    outcome(
        Is::ExecLoses,
        &[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", "nil"), ("GET a", "nil")],
    );
}

#[test]
fn a_cache_that_is_cold() {
    outcome(Is::Cold, &[("GET key", "nil"), ("MGET key key", "[nil, nil]"), ("PING", "+PONG")]);
}

#[test]
fn no_resp() {
    check(cache, |server, address| async move {
        server.behave(Is::NotResp);
        let mut client = Resp::connect(address).await;
        let error = client.ask("GET key").await.expect_err("no reply");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    });
}

#[test]
fn what_goes_wrong_with_any_server() {
    check(cache, |server, address| async move {
        let mut client = Resp::connect(address).await;
        server.behave(Behaviour::Stall { after: 4 });
        assert!(timeout(ms(3_600_000), client.ask("GET key")).await.is_err());
        drop(client);
        let mut client = Resp::connect(address).await;
        server.behave(Behaviour::Close { after: 4 });
        let error = client.ask("GET key").await.expect_err("half a reply");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        server.behave(Behaviour::Limit { connections: 1, beyond: Beyond::Tell });
        sleep(ms(1000)).await;
        let mut first = Resp::connect(address).await;
        assert_eq!(first.ask("PING").await.expect("a reply"), "+PONG");
        let mut second = Resp::connect(address).await;
        assert_eq!(second.reply().await.expect("a reply"), "-ERR max number of clients reached");
    });
}

#[test]
fn keys_expire_in_virtual_time() {
    check(cache, |server, address| async move {
        let mut client = Resp::connect(address).await;
        assert_eq!(client.ask("SET lease me NX EX 3600").await.expect("a reply"), "+OK");
        assert_eq!(client.ask("SET lease you NX EX 3600").await.expect("a reply"), "nil");
        assert_eq!(client.ask("TTL lease").await.expect("a reply"), ":3600");
        sleep(ms(3_600_000)).await;
        assert_eq!(client.ask("GET lease").await.expect("a reply"), "nil");
        assert_eq!(client.ask("SET lease you NX EX 3600").await.expect("a reply"), "+OK");
        assert_eq!(server.protocol().get("lease").as_deref(), Some(&b"you"[..]));
        assert_eq!(server.asked()[0], ["SET", "lease", "me", "NX", "EX", "3600"]);
        server.protocol().clear();
        assert_eq!(client.ask("DBSIZE").await.expect("a reply"), ":0");
    });
}

#[test]
fn channels() {
    check(cache, |server, address| async move {
        let mut listener = Resp::connect(address).await;
        let reply = listener.ask("SUBSCRIBE news").await.expect("a reply");
        assert_eq!(reply, "[\"subscribe\", \"news\", :1]");
        let mut other = Resp::connect(address).await;
        assert_eq!(other.ask("PUBLISH news one").await.expect("a reply"), ":1");
        assert_eq!(server.protocol().publish("news", "two"), 1);
        assert_eq!(server.protocol().publish("weather", "rain"), 0);
        let said = listener.reply().await.expect("a message");
        assert_eq!(said, "[\"message\", \"news\", \"one\"]");
        let said = listener.reply().await.expect("a message");
        assert_eq!(said, "[\"message\", \"news\", \"two\"]");
        // What is published while it answers comes after the answer.
        server.behave(Behaviour::Pause(ms(1000))).once();
        listener.say("PING").await.expect("it reads");
        sleep(ms(500)).await;
        server.protocol().publish("news", "meanwhile");
        assert_eq!(listener.reply().await.expect("a reply"), "[\"pong\", \"\"]");
        let said = timeout(ms(2500), listener.reply()).await.expect("it comes");
        assert_eq!(said.expect("a message"), "[\"message\", \"news\", \"meanwhile\"]");
        // Half a message, then nothing.
        server.behave(Behaviour::Stall { after: 10 });
        server.protocol().publish("news", "three");
        assert!(timeout(ms(10_000), listener.reply()).await.is_err());
        drop(listener);
        sleep(ms(1000)).await;
        assert_eq!(server.protocol().publish("news", "four"), 0);
        server.behave_well();
        let mut listener = Resp::connect(address).await;
        listener.ask("SUBSCRIBE news").await.expect("a reply");
        server.stop();
        sleep(ms(1000)).await;
        assert_eq!(server.protocol().publish("news", "five"), 0, "its sessions are gone");
    });
}
