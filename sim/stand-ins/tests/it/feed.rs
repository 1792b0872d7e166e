//! The WebSocket feed: what a client sees of each of its behaviours.

use core::net::SocketAddr;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, accept_async, client_async};
use futures::StreamExt;
use http::StatusCode;
use mainspring_executor::compat::FuturesIo;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_sim::{World, WorldConfig};
use mainspring_stand_ins::{Behaviour, Feed, FeedBehaviour as Is, FeedQuestion};

use crate::room::{check, ms};

type Client = WebSocketStream<FuturesIo<TcpStream>>;

/// Prices each second, and an echo.
fn prices() -> Feed {
    Feed::new().every(ms(1000), |number| format!("price {number}")).echo()
}

async fn connect(address: SocketAddr) -> Result<Client, Error> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (client, _) = client_async(format!("ws://{address}/feed"), FuturesIo::new(stream)).await?;
    Ok(client)
}

/// What comes next within so long: a text, `close 1001 reason`, or what went wrong.
async fn next(client: &mut Client) -> String {
    match timeout(ms(2500), client.next()).await {
        Err(_) => "nothing".to_owned(),
        Ok(None) => "end".to_owned(),
        Ok(Some(Ok(Message::Text(text)))) => text.to_string(),
        Ok(Some(Ok(Message::Close(frame)))) => match frame {
            Some(CloseFrame { code, reason }) => format!("close {} {reason}", u16::from(code)),
            None => "close".to_owned(),
        },
        Ok(Some(Ok(other))) => format!("{other:?}"),
        Ok(Some(Err(error))) => error.to_string(),
    }
}

/// Checks what the client sees under a behaviour, from the first message on.
#[track_caller]
fn outcome(behaviour: Is, expected: &'static [&'static str]) {
    check(prices, move |server, address| {
        let behaviour = behaviour.clone();
        async move {
            let mut client = connect(address).await.expect("a handshake");
            assert_eq!(next(&mut client).await, "price 1");
            server.behave(behaviour.clone()).once();
            for line in expected {
                assert_eq!(next(&mut client).await, *line, "{behaviour:?}");
            }
        }
    });
}

#[test]
fn messages_come_by_the_clock() {
    check(prices, |server, address| async move {
        let mut client = connect(address).await.expect("a handshake");
        assert_eq!(next(&mut client).await, "price 1");
        assert_eq!(next(&mut client).await, "price 2");
        drop(client);
        sleep(ms(5000)).await;
        // Who comes back has missed some.
        let mut client = connect(address).await.expect("a handshake");
        let text = next(&mut client).await;
        assert!(["price 8", "price 9"].contains(&text.as_str()), "{text}");
        client.send(Message::text("hello")).await.expect("it reads");
        assert_eq!(next(&mut client).await, "hello");
        server.protocol().tell("news");
        assert_eq!(next(&mut client).await, "news");
        client.close(None).await.expect("it reads");
        while next(&mut client).await != "end" {}
        let asked = server.asked();
        assert_eq!(asked[0], FeedQuestion::Upgrade("/feed".to_owned()));
        assert_eq!(asked[2], FeedQuestion::Text("hello".to_owned()));
        assert_eq!(asked[3], FeedQuestion::Close(None));
    });
}

#[test]
fn what_is_told_during_an_answer_comes_after_it() {
    check(
        || Feed::new().echo(),
        |server, address| async move {
            let mut client = connect(address).await.expect("a handshake");
            server.behave(Behaviour::Pause(ms(1000))).once();
            client.send(Message::text("hello")).await.expect("it reads");
            sleep(ms(500)).await;
            server.protocol().tell("news");
            server.protocol().tell("more");
            assert_eq!(next(&mut client).await, "hello");
            assert_eq!(next(&mut client).await, "news");
            assert_eq!(next(&mut client).await, "more");
        },
    );
}

#[test]
fn who_is_gone_is_told_nothing() {
    check(prices, |server, address| async move {
        let client = connect(address).await.expect("a handshake");
        assert_eq!(format!("{:?}", server.protocol()), "Feed(1 clients)");
        server.stop();
        sleep(ms(1000)).await;
        assert_eq!(format!("{:?}", server.protocol()), "Feed(0 clients)");
        drop(client);
    });
}

#[test]
fn who_does_not_keep_up_is_dropped() {
    const TEXTS_MAX: usize = 65_536;
    let outcome = |count, expected: &'static str| {
        check(
            || Feed::new().echo(),
            move |server, address| async move {
                let mut client = connect(address).await.expect("a handshake");
                server.behave(Behaviour::Pause(ms(1000))).once();
                // All but the first are left out.
                server.also(Is::Gap).from(now() + ms(900)).times(TEXTS_MAX as u64 - 1);
                client.send(Message::text("hello")).await.expect("it reads");
                sleep(ms(500)).await;
                (0..count).for_each(|number| server.protocol().tell(&number.to_string()));
                assert_eq!(next(&mut client).await, "hello");
                assert_eq!(next(&mut client).await, expected);
            },
        );
    };
    outcome(TEXTS_MAX, "65535");
    outcome(TEXTS_MAX + 1, "WebSocket protocol error: Connection reset without closing handshake");
}

#[test]
fn messages_that_are_missing_or_too_many() {
    outcome(Is::Gap, &["price 3"]);
    outcome(Is::Twice, &["price 2", "price 2", "price 3"]);
    outcome(Is::Overtaken, &["price 3", "price 2", "price 4"]);
    outcome(Is::Flood { copies: 3 }, &["price 2", "price 2", "price 2", "price 2", "price 3"]);
    outcome(Is::Fragments { bytes: 2 }, &["price 2", "price 3"]);
}

#[test]
fn messages_that_do_not_come_whole() {
    outcome(Is::HalfFrame, &["nothing", "nothing"]);
    outcome(Is::HalfMessage, &["nothing", "nothing"]);
}

#[test]
fn messages_that_break_the_protocol() {
    let check = |behaviour, words: &'static str| {
        check(prices, move |server, address| {
            let behaviour: Is = Clone::clone(&behaviour);
            async move {
                let mut client = connect(address).await.expect("a handshake");
                server.behave(behaviour.clone());
                let error = next(&mut client).await;
                assert!(error.contains(words), "{behaviour:?}: {error}");
            }
        });
    };
    check(Is::Masked, "masked");
    check(Is::ReservedBit, "Reserved bits");
    check(Is::NotText, "UTF-8");
    check(Is::Long { bytes: 70 << 20 }, "too long");
}

#[test]
fn ends() {
    let leaving = Is::CloseFrame { code: 1001, reason: "going away".to_owned() };
    outcome(leaving, &["close 1001 going away", "end"]);
    check(prices, |server, address| async move {
        let mut client = connect(address).await.expect("a handshake");
        server.behave(Behaviour::Close { after: 3 });
        let error = next(&mut client).await;
        assert!(error.contains("closing handshake"), "{error}");
        let mut client = connect(address).await.expect("a handshake");
        server.behave(Is::NoClose);
        client.close(None).await.expect("it reads");
        assert_eq!(next(&mut client).await, "nothing");
        assert_eq!(server.open_count(), 1);
    });
}

#[test]
fn pings() {
    check(prices, |server, address| async move {
        let mut client = connect(address).await.expect("a handshake");
        client.send(Message::Ping("1".into())).await.expect("it reads");
        assert_eq!(next(&mut client).await, format!("{:?}", Message::Pong("1".into())));
        server.behave(Is::NoPong);
        client.send(Message::Ping("2".into())).await.expect("it reads");
        assert_eq!(next(&mut client).await, "price 1");
        server.behave(Is::Pings { count: 2 }).once();
        let ping = format!("{:?}", Message::Ping("".into()));
        assert_eq!([next(&mut client).await, next(&mut client).await], [ping.clone(), ping]);
        assert_eq!(next(&mut client).await, "price 2");
    });
}

#[test]
fn handshakes() {
    check(prices, |server, address| async move {
        server.behave(Is::Refuse(StatusCode::SERVICE_UNAVAILABLE));
        match connect(address).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 503),
            other => panic!("{:?}", other.map(drop)),
        }
        server.behave(Is::WrongKey);
        assert!(matches!(connect(address).await, Err(Error::Protocol(_))));
        server.behave(Behaviour::Silence);
        assert!(timeout(ms(60_000), connect(address)).await.is_err());
    });
}

/// What any server does that echoes.
async fn talk(address: SocketAddr) {
    let mut client = connect(address).await.expect("a handshake");
    for text in ["", "hello", &"long ".repeat(1000)] {
        client.send(Message::text(text)).await.expect("it reads");
        assert_eq!(next(&mut client).await, *text);
    }
    client.send(Message::binary(vec![0, 255])).await.expect("it reads");
    let bytes = format!("{:?}", Message::binary(vec![0, 255]));
    assert_eq!(next(&mut client).await, bytes);
    client.send(Message::Ping("1".into())).await.expect("it reads");
    assert_eq!(next(&mut client).await, format!("{:?}", Message::Pong("1".into())));
    let code = CloseFrame { code: 1001.into(), reason: "bye".into() };
    client.close(Some(code)).await.expect("it reads");
    assert!(next(&mut client).await.starts_with("close 1001"));
    assert_eq!(next(&mut client).await, "end");
}

#[test]
fn the_server_of_tungstenite_says_the_same() {
    check(|| Feed::new().echo(), |_server, address| talk(address));
    for seed in 0..4 {
        let world = World::new(seed, WorldConfig::rough());
        let host = world.host("server");
        host.run(async {
            let any = ([0, 0, 0, 0], 80).into();
            let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
            let (stream, _) = listener.accept().await.expect("a client");
            let mut server = accept_async(FuturesIo::new(stream)).await.expect("a handshake");
            while let Some(Ok(message)) = server.next().await {
                if message.is_text() || message.is_binary() {
                    server.send(message).await.expect("it reads");
                }
            }
        });
        world.host("client").run(talk(host.address(80)));
        world.run().unwrap_or_else(|failure| panic!("{failure}"));
    }
}
