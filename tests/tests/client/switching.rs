//! Interim responses, expectations, upgrades, tunnels and proxies.

use core::time::Duration;

use futures::future::join;
use mainspring::Body;
use mainspring::client::{Client, Timeouts};
use mainspring_executor::net::TcpStream;

use crate::peer::*;
use crate::stage::check;

#[test]
fn interim_responses_are_passed_over_and_told() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
            peer.answer(&format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{OK}")).await;
            peer.answer(&format!("{hints}{OK}")).await;
        };
        let asked = async {
            let mut seen = Vec::new();
            let note = |interim: http::Response<()>| {
                seen.push((interim.status().as_u16(), interim.headers().len()));
            };
            let response = client.send_informed(get(address), note).await.unwrap();
            assert_eq!(text(response.into_body()).await.unwrap(), "ok");
            assert_eq!(seen, [(100, 0), (103, 1)]);
            assert_eq!(exchange(&client, get(address)).await.unwrap(), ok());
        };
        join(asked, served).await;
        assert_eq!(client.stats().opened, 1);
    });
}

fn expecting(address: core::net::SocketAddr) -> http::Request<Body> {
    let mut request = request("PUT", address, "body");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    request
}

#[test]
fn a_body_waits_for_100() {
    check(|| async {
        let (listener, address) = listen();
        let timeouts = Timeouts { continue_wait: Duration::from_secs(60), ..Timeouts::default() };
        let client = Client::builder().timeouts(timeouts).build();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.head().await;
            peer.stays().await;
            peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            assert_eq!(peer.take(4).await, b"body");
            peer.say(OK).await;
        };
        assert_eq!(join(exchange(&client, expecting(address)), served).await.0.unwrap(), ok());
        assert_eq!(client.stats().idle, 1);
    });
}

#[test]
fn a_body_does_not_wait_for_ever() {
    check(|| async {
        let (listener, address) = listen();
        let timeouts = Timeouts { continue_wait: MOMENT, ..Timeouts::default() };
        let client = Client::builder().timeouts(timeouts).build();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            // Another interim response is no reason to wait anew.
            peer.answer("HTTP/1.1 103 Early Hints\r\n\r\n").await;
            assert_eq!(peer.take(4).await, b"body");
            peer.say(OK).await;
        };
        assert_eq!(join(exchange(&client, expecting(address)), served).await.0.unwrap(), ok());
    });
}

#[test]
fn a_body_that_is_not_wanted_is_not_sent() {
    for answer in ["HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nok", OK] {
        check(move || async move {
            let (listener, address) = listen();
            let client = Client::new();
            let served = async {
                let mut peer = Peer::accept(&listener).await;
                peer.answer(answer).await;
                peer.ends().await;
            };
            let (outcome, ()) = join(exchange(&client, expecting(address)), served).await;
            assert_eq!(outcome.unwrap().1, "ok");
            assert_eq!(client.stats().idle, 0);
        });
    }
}

/// Says and hears a word on a stream that was handed over, in whose buffer is `before`.
async fn talk(mut stream: TcpStream, before: &[u8]) {
    while stream.buffered().len() < before.len() {
        stream.fill().await.unwrap();
    }
    assert_eq!(stream.buffered(), before);
    stream.write_all(b"ping").await.unwrap();
    let mut word = vec![0; before.len() + 4];
    let mut at = 0;
    while at < word.len() {
        at += stream.read(&mut word[at..]).await.unwrap();
    }
    assert_eq!(&word[before.len()..], b"pong");
}

#[test]
fn an_upgrade_hands_the_stream_over() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            let head = peer
                .answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nfirst")
                .await;
            assert!(head.contains("upgrade: echo\r\nconnection: upgrade"), "{head}");
            assert_eq!(peer.take(4).await, b"ping");
            peer.say("pong").await;
        };
        let asked = async {
            let mut request = get(address);
            request.headers_mut().insert("upgrade", "echo".parse().unwrap());
            let response = client.send(request).await.unwrap();
            assert_eq!(response.status(), 101);
            let stream = response.into_body().into_upgraded().expect("it was");
            assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
            talk(stream, b"first").await;
        };
        join(asked, served).await;
    });
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async { Peer::accept(&listener).await.answer(OK).await };
        let (response, _) = join(client.send(get(address)), served).await;
        let body = response.unwrap().into_body().into_upgraded().expect_err("it is a body");
        assert_eq!(text(body).await.unwrap(), "ok");
    });
}

#[test]
fn a_proxy_gets_the_whole_uri_and_makes_tunnels() {
    check(|| async {
        let (listener, address) = listen();
        let proxy = format!("http://{address}").parse().unwrap();
        let client = Client::builder().proxy(&proxy).build();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            let first = peer.answer(OK).await;
            assert!(first.starts_with("GET http://a.example/b?c HTTP/1.1\r\nhost: a.example"));
            let second = peer.answer(OK).await;
            assert!(second.starts_with("GET http://b.example:81/ HTTP/1.1\r\nhost: b.example:81"));
            let third = peer.answer("HTTP/1.1 200 Connected\r\n\r\n").await;
            assert!(third.starts_with("CONNECT c.example:443 HTTP/1.1\r\nhost: c.example:443"));
            assert_eq!(peer.take(4).await, b"ping");
            peer.say("pong").await;
        };
        let asked = async {
            for uri in ["http://a.example/b?c", "http://b.example:81"] {
                let request = http::Request::get(uri).body(Body::empty()).unwrap();
                assert_eq!(exchange(&client, request).await.unwrap(), ok());
            }
            let request = http::Request::connect("c.example:443").body(Body::empty()).unwrap();
            let response = client.send(request).await.unwrap();
            assert_eq!(response.status(), 200);
            talk(response.into_body().into_upgraded().expect("a tunnel"), b"").await;
        };
        join(asked, served).await;
        assert_eq!(client.stats().opened, 1, "one proxy is one origin");
    });
}
