//! compio, on io_uring.

mod allocator;
mod cases;
mod usage;

use core::convert::identity;
use core::future::Future;
use std::io;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
pub use compio::runtime::time::sleep;
pub use compio::runtime::{JoinHandle as Join, spawn};

fn main() {
    cases::main();
}

pub struct Runtime(compio::runtime::Runtime);

impl Runtime {
    pub fn new(variant: &str) -> Self {
        assert_eq!(variant, "uring", "compio has no other variant");
        let runtime = compio::runtime::Runtime::new().expect("the system has a ring left");
        assert!(runtime.driver_type().is_iouring(), "it would fall back to a poller");
        Self(runtime)
    }

    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}

pub async fn join<T>(task: Join<T>) -> T {
    task.await.expect("the task does not panic")
}

pub fn in_one_poll<F: Future>(future: F) -> F {
    identity(future)
}

/// compio has no channel of its own.
pub mod own_channel {
    pub use async_channel::{Receiver, Sender, bounded};

    pub const IS_OWN: bool = false;

    pub async fn send<T>(sender: &mut Sender<T>, value: T) {
        sender.send(value).await.expect("the receiver is there");
    }

    pub async fn recv<T>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await.ok()
    }
}

pub async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        // Dropping the handle would end the task.
        spawn(serve(stream)).detach();
    }
}

/// The buffer goes to the kernel and comes back: the one shape that a ring allows.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4096];
    loop {
        let BufResult(read, filled) = stream.read(buffer).await;
        let count = read?;
        if count == 0 {
            return Ok(());
        }
        let BufResult(written, slice) = stream.write_all(filled.slice(..count)).await;
        written?;
        buffer = slice.into_inner();
    }
}
