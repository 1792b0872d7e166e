//! Sockets for tasks. It knows the driver's tokens, never descriptors.

mod buffer;
pub(crate) mod byte_stream;
mod chunk;
pub(crate) mod connection;
mod detached;
mod listener;
mod socket;
mod stream;
mod sweep;
mod udp;
mod unix;

pub(crate) use buffer::BufferPool;
pub use buffer::RECV_BUFFER_BYTES;
pub use byte_stream::ByteStream;
pub use chunk::{CHUNK_BYTES, Chunk};
pub use detached::{DetachedListener, DetachedStream, DetachedUnixListener, DetachedUnixStream};
pub use listener::TcpListener;
pub(crate) use socket::Socket;
pub use stream::TcpStream;
pub use sweep::Sweep;
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};

pub use crate::address::Address;
pub use crate::driver::Received;
