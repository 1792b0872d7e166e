//! A handler that takes the end of an upload for its end, however it came.

use core::cell::Cell;
use std::rc::Rc;

use http::StatusCode;
use mainspring::Request;
use mainspring_executor::driver::Signal;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use super::line::{PORT, ms, serve_http};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const HALF_UPLOAD: Specimen = specimen!(
    "half-upload",
    "an upload that breaks off is stored as if it were whole",
    search: "a client that leaves in the middle",
    source: "",
    run,
);

/// Reads a body to its end; `None` where it broke off.
async fn read(mut request: Request, twin: Twin) -> Option<usize> {
    let mut length = 0;
    loop {
        match request.body_mut().chunk().await {
            Some(Ok(chunk)) => length += chunk.len(),
            Some(Err(_)) if twin.is_fixed() => return None,
            Some(Err(_)) | None => return Some(length),
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (server, clients) = (world.host("server"), world.host("clients"));
    let shorter = Rc::new(Cell::new(false));
    let noted = Rc::clone(&shorter);
    server.run(async move {
        let handler = move |request: Request| {
            let noted = Rc::clone(&noted);
            async move {
                let said = request.field("content-length").map(String::from_utf8_lossy);
                let said = said.and_then(|length| length.parse().ok());
                let Some(stored) = read(request, twin).await else {
                    return StatusCode::BAD_REQUEST;
                };
                noted.set(noted.get() || Some(stored) != said);
                StatusCode::CREATED
            }
        };
        serve_http(handler).await;
    });
    let uploads = 1 + world.choose(40);
    let mut works = Vec::new();
    for _ in 0..uploads {
        let (arrival, length) = (clients.choose(5_000), 1 + clients.choose(5_000));
        // One in thirty stops before its end, as does a phone in a tunnel.
        let left = if clients.choose(30) == 29 { 1 + clients.choose(length) } else { 0 };
        works.push((arrival, length, left));
    }
    let address = server.address(PORT);
    let all: Vec<_> = works
        .into_iter()
        .map(|(arrival, length, left)| {
            clients.spawn(async move {
                sleep(ms(arrival)).await;
                let mut stream = TcpStream::connect(address).await.expect("the server listens");
                let head =
                    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
                let body = "x".repeat(usize::try_from(length - left).expect("it is short"));
                stream.write_all((head + &body).as_bytes()).await.expect("the server reads");
                if left == 0 {
                    stream.fill().await.expect("the server answers");
                }
            })
        })
        .collect();
    clients.run(async move {
        for upload in all {
            upload.await.expect("no upload panics");
        }
        sleep(ms(100)).await;
        server.signal(Signal::Terminate);
    });
    let run = conclude(&world, uploads)?;
    assert!(!shorter.get(), "what is stored is as long as it was said to be");
    Ok(run)
}
