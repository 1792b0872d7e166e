//! smol: one `LocalExecutor` on one thread. (`smol::spawn` would run tasks on a pool of threads behind one lock-free
//! queue; the thread-per-core form is its faster one.)

mod allocator;
mod cases;
mod usage;

use core::cell::Cell;
use core::convert::identity;
use core::future::Future;
use core::time::Duration;
use std::io;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Timer};

fn main() {
    cases::main();
}

thread_local! {
    /// smol leaves to its user what the others do by themselves: to find the executor from within a task.
    static EXECUTOR: Cell<Option<&'static LocalExecutor<'static>>> = const { Cell::new(None) };
}

pub struct Runtime(&'static LocalExecutor<'static>);

impl Runtime {
    pub fn new(variant: &str) -> Self {
        assert_eq!(variant, "local", "smol has no other variant");
        let executor: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
        EXECUTOR.set(Some(executor));
        Self(executor)
    }

    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        smol::block_on(self.0.run(future))
    }
}

pub type Join<T> = smol::Task<T>;

pub fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Join<F::Output> {
    EXECUTOR.get().expect("a runtime is there").spawn(future)
}

pub async fn join<T>(task: Join<T>) -> T {
    task.await
}

pub fn sleep(duration: Duration) -> Timer {
    Timer::after(duration)
}

pub fn in_one_poll<F: Future>(future: F) -> F {
    identity(future)
}

/// smol's own channel is `async-channel`: both rows measure the same.
pub mod own_channel {
    pub use smol::channel::{Receiver, Sender, bounded};

    pub const IS_OWN: bool = true;

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
