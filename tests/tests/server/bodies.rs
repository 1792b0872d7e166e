//! Bodies both ways: lengths, chunks, trailers, and what becomes of those that nobody reads.

use mainspring_tests::client::chunked;

use crate::playground::playground;
use crate::stage::{Case, Machines};
use crate::wire::{End, closes, get, goes_on, pattern, post, request, rest_as_text};

const KIB: usize = 1024;

/// What is sent comes back, whatever its length and however it is framed.
#[test]
fn a_body_comes_back_as_it_was() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for length in [0, 1, 100, 10_000, 200_000, 1_000_000] {
            let body = pattern(length);
            let mut requests = vec![post("/echo", &body)];
            for size in [1_000, 70_000] {
                let head = request("POST", "/echo", "Transfer-Encoding: chunked\r\n");
                requests.push([head.into_bytes(), chunked(&body, size)].concat());
            }
            for request in requests {
                let answer = exchange_both_ways(&mut client, &request).await;
                assert_eq!(answer.len(), body.len());
                assert!(answer == body, "{length} bytes came back as others");
            }
        }
        goes_on(&mut client).await;
    });
}

/// However much is received at once, what follows a body is the next request.
#[test]
fn a_big_body_takes_nothing_of_the_request_behind_it() {
    Case::new(playground).check(|stage| async move {
        let body = pattern(300_000);
        for size in [None, Some(100_000)] {
            let mut client = stage.connect().await;
            let request = match size {
                None => post("/collect", &body),
                Some(size) => {
                    let head = request("POST", "/collect", "Transfer-Encoding: chunked\r\n");
                    [head.into_bytes(), chunked(&body, size)].concat()
                }
            };
            let both = [&request[..], get("/stream/9").as_bytes()].concat();
            let first = client.exchange(&both, false).await.expect("an answer");
            assert_eq!(first.body, b"300000 bytes");
            let second = client.exchange(b"", false).await.expect("an answer to the second");
            assert_eq!(second.body, b"abcabcabc");
        }
    });
}

/// Sends a request while its answer is read: an echo holds no more than its buffers.
async fn exchange_both_ways(
    client: &mut mainspring_tests::client::Client,
    request: &[u8],
) -> Vec<u8> {
    let mut sent = 0;
    let mut answer: Vec<u8> = Vec::new();
    loop {
        let stream = client.stream();
        if sent < request.len() {
            // Moves what it can each way, and waits only if neither can.
            core::future::poll_fn(|cx| {
                let slices = [std::io::IoSlice::new(&request[sent..])];
                let mut moved = false;
                if let core::task::Poll::Ready(written) = stream.poll_write(cx, &slices) {
                    sent += written.expect("the server reads");
                    moved = true;
                }
                if let core::task::Poll::Ready(read) = stream.poll_fill(cx) {
                    assert!(read.expect("the server writes") > 0, "it goes on");
                    answer.extend_from_slice(stream.buffered());
                    stream.consume(stream.buffered().len());
                    moved = true;
                }
                if moved { core::task::Poll::Ready(()) } else { core::task::Poll::Pending }
            })
            .await;
        } else if let Some(body) = whole_body(&answer) {
            return body;
        } else {
            assert!(stream.fill().await.expect("the server writes") > 0, "it goes on");
            answer.extend_from_slice(stream.buffered());
            stream.consume(stream.buffered().len());
        }
    }
}

/// The content of an answer that is whole, whose framing is either length or chunks.
fn whole_body(answer: &[u8]) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    let mut rest = &answer[end + 4..];
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    if let Some((_, length)) = head.split_once("content-length: ") {
        let length: usize = length.lines().next().expect("a value").parse().expect("a number");
        assert!(rest.len() <= length, "more than was promised");
        return (rest.len() == length).then(|| rest.to_vec());
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = core::str::from_utf8(&rest[..line]).expect("text");
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = &rest[line + 2..];
        if rest.len() < size + 2 {
            return None;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
        if size == 0 {
            assert!(rest.is_empty(), "nothing follows the last chunk");
            return Some(body);
        }
    }
}

/// A stream goes out with its length where that is known, else in chunks, piece by piece.
#[test]
fn a_stream_goes_out_piece_by_piece() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for (path, length, coding) in
            [("/stream/9", Some("9"), None), ("/stream", None, Some("chunked"))]
        {
            let answer = client.exchange(get(path).as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.body, b"abcabcabc");
            assert_eq!(answer.field("content-length"), length);
            assert_eq!(answer.field("transfer-encoding"), coding);
        }
        goes_on(&mut client).await;
    });
}

/// Trailers go the whole way: in with a request, through the handler, out with the response.
#[test]
fn trailers_come_back() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        let fields = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
        let head = request("POST", "/echo", fields);
        let body = "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
        client.send((head + body).as_bytes()).await.expect("the server reads");
        let (text, end) = rest_as_text(&mut client).await;
        assert!(
            text.to_lowercase().ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"),
            "{text}"
        );
        assert_eq!(end, End::Fin);
    });
}

/// What a handler leaves unread is thrown away, as far as that is cheap, and the connection goes on.
#[test]
fn a_body_that_is_not_read_is_thrown_away() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for path in ["/ignore", "/first-chunk", "/missing", "/panic/at-once", "/promise/7"] {
            for length in [1, 200 * KIB] {
                let body = pattern(length);
                let head = request("POST", path, "Transfer-Encoding: chunked\r\n");
                let in_chunks = [head.into_bytes(), chunked(&body, 10_000)].concat();
                for request in [post(path, &body), in_chunks] {
                    client.send(&request).await.expect("the server reads");
                    client.answer(false).await.expect("an answer");
                    goes_on(&mut client).await;
                }
            }
        }
    });
}

/// Beyond the bound it is cheaper to close: behind the whole answer, in good order.
#[test]
fn a_body_too_long_to_be_thrown_away_closes() {
    Case::new(playground).check(|stage| async move {
        for path in ["/ignore", "/panic/at-once", "/first-chunk"] {
            let mut client = stage.connect().await;
            client.send(&post(path, &pattern(600 * KIB))).await.expect("the server reads");
            let answer = client.answer(false).await.expect("an answer");
            assert!(matches!(answer.status, 200 | 500), "{}", answer.status);
            closes(&mut client).await;
        }
    });
}

/// A body whose end never comes is not waited for, though its bytes keep coming.
#[test]
fn an_endless_body_is_not_thrown_away_for_ever() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        use core::time::Duration;
        use mainspring_executor::time::{now, sleep};
        let mut client = stage.connect().await;
        let head = request("POST", "/ignore", "Content-Length: 100000\r\n");
        let asked = now();
        client.exchange(head.as_bytes(), false).await.expect("an answer");
        while stage.stats().connections_open > 0 {
            assert!(now() - asked < Duration::from_secs(5), "still reading after {asked}");
            let _ = client.send(b"x").await;
            sleep(Duration::from_millis(500)).await;
        }
    });
}
