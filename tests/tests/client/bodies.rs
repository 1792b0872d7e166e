//! Bodies: where they end, what is cut off, and who waits for whom.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::pin::Pin;
use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::join;
use http_body::Body as _;
use mainspring::client::{Client, ErrorKind, Phase};
use mainspring::http1::Error as ProtocolError;
use mainspring::http1::exchange::ResponseError;
use mainspring::{Body, Request, Server, Shutdown};
use mainspring_executor::spawn;
use mainspring_executor::time::{sleep, timeout};

use crate::peer::*;
use crate::stage::check;

/// The outcome of a `method` request that is answered with `answer` and FIN.
async fn asked(
    method: &str,
    answer: &'static str,
) -> (Result<(u16, String), mainspring::client::Error>, Client) {
    let (listener, address) = listen();
    let client = Client::new();
    let served = async { drop(Peer::accept(&listener).await.answer(answer).await) };
    let asked = exchange(&client, request(method, address, Body::empty()));
    (join(asked, served).await.0, client)
}

#[test]
fn a_body_that_is_cut_off_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ] {
        check(move || async move {
            let (outcome, client) = asked("GET", answer).await;
            let error = outcome.unwrap_err();
            let cut_off = ResponseError::Message(ProtocolError::Incomplete);
            assert!(
                matches!(error.kind(), ErrorKind::Response(error) if *error == cut_off),
                "{error}"
            );
            assert_eq!(error.phase(), Phase::Body);
            assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
        });
    }
}

#[test]
fn a_body_may_end_with_the_connection() {
    check(|| async {
        let (outcome, client) = asked("GET", "HTTP/1.1 200 OK\r\n\r\nok").await;
        assert_eq!(outcome.unwrap(), ok());
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
    });
}

#[test]
fn what_has_no_body_is_whole_with_its_head() {
    for (method, answer, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304),
    ] {
        check(move || async move {
            let (listener, address) = listen();
            let client = Client::new();
            let served = async {
                let mut peer = Peer::accept(&listener).await;
                peer.answer(answer).await;
                peer.answer(OK).await;
            };
            let asked = async {
                let response = client.send(request(method, address, Body::empty())).await.unwrap();
                assert_eq!(response.status(), status);
                assert!(response.body().is_end_stream());
                assert_eq!(client.stats().idle, 1, "nothing is waited for");
                assert_eq!(exchange(&client, get(address)).await.unwrap(), ok());
            };
            join(asked, served).await;
            assert_eq!(client.stats().opened, 1);
        });
    }
}

#[test]
fn frames_have_trailers_and_lengths() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer(OK).await;
            peer.answer(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
            )
            .await;
        };
        let asked = async {
            let response = client.send(get(address)).await.unwrap();
            assert_eq!(response.body().size_hint().exact(), Some(2));
            assert_eq!(text(response.into_body()).await.unwrap(), "ok");
            let mut body = client.send(get(address)).await.unwrap().into_body();
            assert_eq!(body.size_hint().exact(), None);
            let mut seen = Vec::new();
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                let frame = frame.unwrap();
                match frame.data_ref() {
                    Some(data) => seen.push(String::from_utf8(data.to_vec()).unwrap()),
                    None => seen.push(format!("{:?}", frame.trailers_ref().unwrap())),
                }
            }
            assert_eq!(seen, ["a", r#"{"x": "y"}"#]);
        };
        join(asked, served).await;
        assert_eq!((client.stats().opened, client.stats().idle), (1, 1));
    });
}

#[test]
fn a_body_that_is_too_long_for_its_reader_is_refused() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async { Peer::accept(&listener).await.answer(OK).await };
        let asked = async {
            let response = client.send(get(address)).await.unwrap();
            response.into_body().collect(1).await.unwrap_err()
        };
        let error = join(asked, served).await.0;
        assert!(matches!(error.kind(), ErrorKind::TooLong), "{error}");
        assert_eq!(error.host(), address.to_string());
    });
}

/// Gives `text` and notes that it was asked for it, as often as it is.
fn counted(asked: &Rc<Cell<usize>>, text: &'static [u8], pieces: usize) -> Body {
    let asked = Rc::clone(asked);
    let pieces = (0..pieces).map(move |_| {
        asked.set(asked.get() + text.len());
        Ok::<_, Infallible>(Bytes::from_static(text))
    });
    Body::stream(None, futures::stream::iter(pieces))
}

const BLOCK: &[u8] = &[b'x'; 16 * 1024];

#[test]
fn a_server_that_does_not_read_makes_the_body_wait() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let asked = Rc::new(Cell::new(0));
        let body = counted(&asked, BLOCK, 4096);
        let sending = client.clone();
        let sending = spawn(async move { sending.send(request("POST", address, body)).await });
        let peer = Peer::accept(&listener).await;
        moment().await;
        assert!(asked.get() < 16 << 20, "{} bytes", asked.get());
        drop(peer);
        let error = sending.await.unwrap().unwrap_err();
        assert!(error.may_be_processed());
        assert_eq!(error.phase(), Phase::Send, "{error}");
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn a_reader_that_does_not_poll_makes_the_server_wait() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let sent = Rc::new(Cell::new(0));
        let counted = Rc::clone(&sent);
        let serving = spawn(async move {
            let mut peer = Peer::accept(&listener).await;
            peer.answer("HTTP/1.1 200 OK\r\n\r\n").await;
            while peer.0.write_all(BLOCK).await.is_ok() {
                counted.set(counted.get() + BLOCK.len());
            }
        });
        let mut body = client.send(get(address)).await.unwrap().into_body();
        moment().await;
        let before = sent.get();
        assert!(before < 16 << 20, "{before} bytes");
        let mut read = 0;
        while read < 2 * before {
            read += body.chunk().await.unwrap().unwrap().len();
        }
        assert!(sent.get() > before, "it goes on when somebody reads");
        drop(body);
        serving.await.expect("it ends when the connection does");
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
    });
}

#[test]
fn an_echo_begins_to_answer_before_it_has_all() {
    check(|| async {
        let (listener, address) = listen();
        let shutdown = Shutdown::new();
        let server = Server::new(async |request: Request| {
            http::Response::new(Body::from(request.into_body()))
        });
        let until = shutdown.clone();
        let serving = spawn(async move { server.serve(vec![listener], until).await });
        let client = Client::new();
        let asked = Rc::new(Cell::new(0));
        let body = counted(&asked, BLOCK, 64);
        let response = client.send(request("POST", address, body)).await.unwrap();
        let bytes = response.into_body().collect(64 * BLOCK.len()).await.unwrap();
        assert_eq!((bytes.len(), asked.get()), (64 * BLOCK.len(), 64 * BLOCK.len()));
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 1), "both are whole");
        drop(client);
        shutdown.drain();
        serving.await.expect("it does not panic");
    });
}

#[test]
fn an_early_error_ends_the_sending() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let asked = Rc::new(Cell::new(0));
        let body = counted(&asked, BLOCK, 4096);
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nn").await;
            // There is room for more of the request.
            while timeout(MOMENT, peer.0.fill()).await.is_ok_and(|read| read.is_ok_and(|n| n > 0)) {
                peer.0.consume(peer.0.buffered().len());
            }
            peer.say("o").await;
            peer
        };
        let asking = async {
            let response = client.send(request("POST", address, body)).await.unwrap();
            let before = asked.get();
            assert_eq!(response.status(), 413);
            assert_eq!(text(response.into_body()).await.unwrap(), "no");
            assert_eq!(asked.get(), before, "the rest is not wanted");
        };
        let ((), peer) = join(asking, served).await;
        assert!(asked.get() < 4096 * BLOCK.len());
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 0), "half was sent");
        drop(peer);
    });
    // The same with a body that is all there: what was not written yet is not written any more.
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer("HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno").await;
            peer
        };
        let asking = exchange(&client, request("POST", address, vec![b'x'; 32 << 20]));
        let (outcome, mut peer) = join(asking, served).await;
        assert_eq!(outcome.unwrap(), (400, "no".to_owned()));
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 0), "a part was sent");
        let mut read = 0;
        while peer.0.fill().await.unwrap_or(0) > 0 {
            read += peer.0.buffered().len();
            peer.0.consume(peer.0.buffered().len());
        }
        assert!(read < 32 << 20, "all of it was sent");
    });
    // The same, where the server closes at once: what it said counts, not that nothing more can be written.
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer("HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
                .await;
            peer.0.shutdown_write().expect("it is there");
            while !matches!(peer.0.fill().await, Ok(0) | Err(_)) {
                peer.0.consume(peer.0.buffered().len());
            }
        };
        let body = counted(&Rc::default(), BLOCK, 4096);
        let asking = exchange(&client, request("POST", address, body));
        assert_eq!(join(asking, served).await.0.unwrap(), (413, "no".to_owned()));
    });
}

#[test]
fn an_answer_that_ends_before_the_request_ends_the_connection() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer(OK).await;
            peer
        };
        let pieces = futures::stream::pending::<Result<Bytes, Infallible>>();
        let body = Body::stream(Some(5), pieces);
        let (outcome, peer) = join(exchange(&client, request("POST", address, body)), served).await;
        assert_eq!(outcome.unwrap(), ok());
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
        peer.ends().await;
    });
}

#[test]
fn a_body_that_fails_or_lies_about_its_length_fails_the_request() {
    type Pieces = &'static [Result<&'static str, &'static str>];
    let cases: [(Option<u64>, Pieces); 3] =
        [(None, &[Ok("a"), Err("no more")]), (Some(3), &[Ok("ab")]), (Some(3), &[Ok("abcd")])];
    for (length, pieces) in cases {
        check(move || async move {
            let (listener, address) = listen();
            let client = Client::new();
            let pieces = pieces.iter().map(|piece| piece.map(Bytes::from));
            let body = Body::stream(length, futures::stream::iter(pieces));
            let served = async {
                let mut peer = Peer::accept(&listener).await;
                peer.head().await;
                // It ends, and not as a whole request does.
                let mut bytes = Vec::new();
                while peer.0.fill().await.unwrap_or(0) > 0 {
                    bytes.extend_from_slice(peer.0.buffered());
                    peer.0.consume(peer.0.buffered().len());
                }
                assert!(bytes.len() < 3 || !bytes.ends_with(b"0\r\n\r\n"), "{bytes:?}");
            };
            let asked = exchange(&client, request("POST", address, body));
            let asked = async { asked.await.unwrap_err() };
            let error = join(asked, served).await.0;
            assert!(matches!(error.kind(), ErrorKind::RequestBody(_)), "{error}");
            assert_eq!((error.phase(), client.stats().in_use), (Phase::Send, 0));
        });
    }
}

#[test]
fn a_dropped_body_is_read_to_its_end_only_where_that_is_there() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for (answer, is_kept) in [
        (OK, true),
        (chunked, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx", false),
    ] {
        let kept_count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&kept_count);
        check(move || {
            let kept_count = Rc::clone(&counted);
            async move {
                let (listener, address) = listen();
                let client = Client::new();
                let served = async {
                    let mut peer = Peer::accept(&listener).await;
                    peer.answer(answer).await;
                    peer
                };
                let (response, mut peer) = join(client.send(get(address)), served).await;
                moment().await;
                drop(response);
                assert_eq!(client.stats().in_use, 0);
                if client.stats().idle == 1 {
                    kept_count.set(kept_count.get() + 1);
                    peer.stays().await;
                } else {
                    peer.ends().await;
                }
            }
        });
        // Not always: a read may be short in a rough room, and then what was there did not show.
        assert_eq!(kept_count.get() > 0, is_kept, "{answer:?}");
    }
}

#[test]
fn a_dropped_body_is_kept_in_order_and_discarded_within_a_bound() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
            // It ends when the client does.
            let mut sent = 0;
            while sent < 1_000_000 && peer.0.write_all(&BLOCK[..10_000]).await.is_ok() {
                sent += 10_000;
            }
        };
        let asked = async {
            let mut body = client.send(get(address)).await.unwrap().into_body();
            assert!(body.chunk().await.unwrap().is_ok());
            sleep(Duration::from_millis(20)).await;
            drop(body);
            assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
        };
        let both = timeout(Duration::from_secs(10), join(asked, served)).await;
        both.expect("the server learns that nobody reads");
    });
}
