//! monoio, as two variants: `uring`, which it takes where the kernel has it, and `legacy`, on epoll.

mod allocator;
mod cases;
mod usage;

use core::convert::identity;
use core::future::Future;
use std::io;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
pub use monoio::spawn;
pub use monoio::task::JoinHandle as Join;
use monoio::time::TimeDriver;
pub use monoio::time::sleep;
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder};

fn main() {
    cases::main();
}

pub struct Runtime(FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>);

impl Runtime {
    pub fn new(variant: &str) -> Self {
        let built = match variant {
            "uring" => {
                RuntimeBuilder::<IoUringDriver>::new().enable_timer().build().map(Into::into)
            }
            "legacy" => {
                RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().map(Into::into)
            }
            unknown => panic!("monoio has no variant {unknown}"),
        };
        Self(built.expect("the system has a ring or poller left"))
    }

    pub fn block_on<F: Future>(mut self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}

/// monoio catches no panic: one ends the program.
pub async fn join<T>(task: Join<T>) -> T {
    task.await
}

pub fn in_one_poll<F: Future>(future: F) -> F {
    identity(future)
}

/// By monoio's authors: for one thread, without atomics.
pub mod own_channel {
    pub use local_sync::mpsc::bounded::{Rx as Receiver, Tx as Sender, channel as bounded};

    pub const IS_OWN: bool = true;

    pub async fn send<T>(sender: &mut Sender<T>, value: T) {
        sender.send(value).await.expect("the receiver is there");
    }

    pub async fn recv<T>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await
    }
}

pub async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(serve(stream));
    }
}

/// The buffer goes to the kernel and comes back: the one shape that a ring allows.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4096];
    loop {
        let (read, filled) = stream.read(buffer).await;
        let count = read?;
        if count == 0 {
            return Ok(());
        }
        let (written, slice) = stream.write_all(filled.slice(..count)).await;
        written?;
        buffer = slice.into_inner();
    }
}
