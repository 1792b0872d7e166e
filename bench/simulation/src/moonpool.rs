//! moonpool: hyper at both ends, without chaos; the latencies are its own, of which each read and write has one.

mod usage;

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use moonpool_sim::{
    NetworkProvider, Process, SimContext, SimulationBuilder, SimulationResult, TcpListenerTrait,
    Workload,
};
use tokio_util::compat::FuturesAsyncReadCompatExt;

static ANSWERED: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [case, clients, requests] = args.as_slice() else {
        return Err("usage: gets CLIENTS REQUESTS".into());
    };
    assert_eq!(case, "gets");
    let (clients, requests): (u64, u64) = (clients.parse()?, requests.parse()?);
    let before = usage::cpu_seconds();
    let report = SimulationBuilder::new()
        .processes(1, || Box::new(Server))
        .workload(Clients { clients, requests })
        .set_iterations(1)
        .set_debug_seeds(vec![7])
        .run();
    let cpu = usage::cpu_seconds() - before;
    assert!(report.seeds_failing.is_empty(), "{report}");
    assert_eq!(ANSWERED.load(Ordering::Relaxed), clients * requests);
    usage::tell(clients * requests, None, cpu, report.metrics.simulated_time.as_secs_f64());
    Ok(())
}

struct Server;

#[async_trait]
impl Process for Server {
    fn name(&self) -> &'static str {
        "server"
    }

    async fn run(&mut self, ctx: &SimContext) -> SimulationResult<()> {
        let listener = ctx.network().bind(ctx.my_ip()).await?;
        let mut serving = FuturesUnordered::new();
        loop {
            moonpool_sim::select! {
                biased;
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let service = service_fn(async |_: Request<Incoming>| {
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(usage::BODY.as_bytes()))))
                    });
                    let io = TokioIo::new(stream.compat());
                    serving.push(server::conn::http1::Builder::new().serve_connection(io, service));
                }
                Some(_) = serving.next() => {}
                () = ctx.shutdown().cancelled() => return Ok(()),
            }
        }
    }
}

struct Clients {
    clients: u64,
    requests: u64,
}

#[async_trait]
impl Workload for Clients {
    fn name(&self) -> &'static str {
        "clients"
    }

    async fn run(&mut self, ctx: &SimContext) -> SimulationResult<()> {
        let server = ctx.peer("server").expect("there is one");
        join_all((0..self.clients).map(|_| ask(ctx, &server, self.requests))).await;
        Ok(())
    }
}

async fn ask(ctx: &SimContext, server: &str, requests: u64) {
    let stream = ctx.network().connect(server).await.expect("it listens");
    let handshake = client::conn::http1::handshake(TokioIo::new(stream.compat())).await;
    let (mut sender, connection) = handshake.expect("nothing is sent yet");
    let asking = async {
        for _ in 0..requests {
            let request =
                Request::get("/plaintext").header("Host", "server").body(Full::<Bytes>::default());
            let response =
                sender.send_request(request.expect("a request")).await.expect("an answer");
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(body, usage::BODY);
            ANSWERED.fetch_add(1, Ordering::Relaxed);
        }
    };
    moonpool_sim::select! {
        biased;
        () = asking => {}
        _ = connection => {}
    }
}
