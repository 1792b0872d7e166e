//! tokio, as two variants: `current`, one thread, and `multi`, two threads that steal work.
//!
//! One program serves both: tokio itself decides at run time which of the two `spawn` means.

mod allocator;
mod cases;
mod usage;

use core::future::Future;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
pub use tokio::task::JoinHandle as Join;
/// A task has 128 operations a poll here, setting a timer is one, and those beyond are put off: a million in one poll
/// would not be set at all.
pub use tokio::task::unconstrained as in_one_poll;
pub use tokio::time::sleep;

fn main() {
    cases::main();
}

pub struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    pub fn new(variant: &str) -> Self {
        let mut builder = match variant {
            "current" => Builder::new_current_thread(),
            "multi" => Builder::new_multi_thread(),
            unknown => panic!("tokio has no variant {unknown}"),
        };
        Self(builder.worker_threads(2).enable_all().build().expect("the system has a runtime left"))
    }

    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}

/// The one peer here that asks for `Send`: its tasks may change threads.
pub fn spawn<F: Future<Output: Send> + Send + 'static>(future: F) -> Join<F::Output> {
    tokio::spawn(future)
}

pub async fn join<T>(task: Join<T>) -> T {
    task.await.expect("the task does not panic")
}

pub mod own_channel {
    pub use tokio::sync::mpsc::{Receiver, Sender, channel as bounded};

    pub const IS_OWN: bool = true;

    pub async fn send<T>(sender: &mut Sender<T>, value: T) {
        sender.send(value).await.expect("the receiver is there");
    }

    pub async fn recv<T>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await
    }
}

pub async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
