//! TCP for tasks. It knows the driver's tokens, never descriptors.

mod buffer;
mod listener;
mod socket;
mod stream;

pub(crate) use buffer::BufferPool;
pub use buffer::RECV_BUFFER_BYTES;
pub use listener::TcpListener;
pub(crate) use socket::Socket;
pub use stream::TcpStream;
