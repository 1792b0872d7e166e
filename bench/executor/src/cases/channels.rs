//! Two tasks and bounded channels: over the peer's own channel, and over one that is the same for all.

use super::clock::{Clock, Samples};
use crate::own_channel;
use crate::{join, spawn};

const ROUND_TRIPS: usize = 1000;
const MESSAGES: usize = 10_000;

/// Whether the peer has a channel of its own.
pub const HAS_OWN: bool = own_channel::IS_OWN;

/// The channel that is the same for all: `async-channel`, as `own_channel` has it.
mod third_channel {
    pub use async_channel::{Receiver, Sender, bounded};

    pub async fn send<T>(sender: &mut Sender<T>, value: T) {
        sender.send(value).await.expect("the receiver is there");
    }

    pub async fn recv<T>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await.ok()
    }
}

/// The cases over one channel. Not a function with a type parameter: whether what a channel's futures are is `Send`
/// differs between the channels, and some peers ask for it.
macro_rules! over {
    ($name:ident, $channel:ident) => {
        pub mod $name {
            use super::*;

            /// One message each way between two tasks, over two channels of one place: nanoseconds a round trip.
            pub async fn ping_pong(samples: usize) -> Samples {
                let mut clock = Clock::new(samples, ROUND_TRIPS);
                while clock.runs() {
                    let (mut to_pong, mut from_ping) = $channel::bounded::<usize>(1);
                    let (mut to_ping, mut from_pong) = $channel::bounded::<usize>(1);
                    let ping = spawn(async move {
                        for number in 0..ROUND_TRIPS {
                            $channel::send(&mut to_pong, number).await;
                            assert_eq!($channel::recv(&mut from_pong).await, Some(number));
                        }
                    });
                    let pong = spawn(async move {
                        while let Some(number) = $channel::recv(&mut from_ping).await {
                            $channel::send(&mut to_ping, number).await;
                        }
                    });
                    join(ping).await;
                    join(pong).await;
                }
                clock.samples()
            }

            /// One task sends as fast as another receives, with room for 1,024 messages: nanoseconds a message.
            pub async fn stream(samples: usize) -> Samples {
                let mut clock = Clock::new(samples, MESSAGES);
                while clock.runs() {
                    let (mut sender, mut receiver) = $channel::bounded::<usize>(1024);
                    let producer = spawn(async move {
                        for number in 0..MESSAGES {
                            $channel::send(&mut sender, number).await;
                        }
                    });
                    let consumer = spawn(async move {
                        let mut received = 0;
                        while let Some(number) = $channel::recv(&mut receiver).await {
                            assert_eq!(number, received, "messages come in order");
                            received += 1;
                        }
                        received
                    });
                    join(producer).await;
                    assert_eq!(join(consumer).await, MESSAGES);
                }
                clock.samples()
            }
        }
    };
}

over!(third, third_channel);
over!(own, own_channel);
