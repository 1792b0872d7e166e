//! Mainspring's executor: one shard on the driver for the operating system.

mod allocator;
mod cases;
mod usage;

use core::convert::identity;
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use std::io;
use std::rc::Rc;

use mainspring_executor::Shard;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::os::OsDriver;
pub use mainspring_executor::time::sleep;
pub use mainspring_executor::{JoinHandle as Join, spawn};

fn main() {
    cases::main();
}

pub struct Runtime(Shard);

impl Runtime {
    pub fn new(variant: &str) -> Self {
        assert_eq!(variant, "shard", "Mainspring has no other variant");
        Self(Shard::new(Rc::new(OsDriver::new().expect("the system has a poller left"))))
    }

    pub fn block_on<F: Future + 'static>(self, future: F) -> F::Output {
        self.0.run(future).expect("the poller works")
    }
}

pub async fn join<T>(task: Join<T>) -> T {
    task.await.expect("the task does not panic")
}

pub fn in_one_poll<F: Future>(future: F) -> F {
    identity(future)
}

pub mod own_channel {
    pub use mainspring_executor::sync::mpsc::{Receiver, Sender, channel as bounded};

    pub const IS_OWN: bool = true;

    pub async fn send<T>(sender: &mut Sender<T>, value: T) {
        sender.send(value).await.expect("the receiver is there");
    }

    pub async fn recv<T>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await
    }
}

pub async fn echo() -> io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(address, ListenOptions::default())?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(serve(stream));
    }
}

/// `TCP_NODELAY` is on from the start here.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
