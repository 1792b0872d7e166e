//! turmoil: hyper at both ends, each client on a host of its own.

mod usage;

use std::cell::Cell;
use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 80;
const BODY: &str = "Hello, World!";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [case, clients, requests] = args.as_slice() else {
        return Err("usage: gets CLIENTS REQUESTS".into());
    };
    assert_eq!(case, "gets");
    let (clients, requests): (u64, u64) = (clients.parse()?, requests.parse()?);
    let before = usage::cpu_seconds();
    let mut sim = turmoil::Builder::new()
        .rng_seed(7)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(10))
        .simulation_duration(Duration::from_secs(24 * 3600))
        .build();
    sim.host("server", || async {
        let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let service = service_fn(async |_: Request<Incoming>| {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(
                        BODY.as_bytes(),
                    ))))
                });
                // It ends with the client.
                drop(
                    server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    });
    let answered = Rc::new(Cell::new(0));
    for number in 0..clients {
        let answered = Rc::clone(&answered);
        sim.client(format!("client{number}"), async move {
            let stream = TcpStream::connect(("server", PORT)).await?;
            let (mut sender, connection) =
                client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            for _ in 0..requests {
                let request = Request::get("/plaintext")
                    .header("Host", "server")
                    .body(Full::<Bytes>::default())?;
                let response = sender.send_request(request).await?;
                assert_eq!(response.status(), 200);
                assert_eq!(response.into_body().collect().await?.to_bytes(), BODY);
                answered.set(answered.get() + 1);
            }
            Ok(())
        });
    }
    sim.run()?;
    usage::tell(answered.get(), None, usage::cpu_seconds() - before, sim.elapsed().as_secs_f64());
    Ok(())
}
