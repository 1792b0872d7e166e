//! `House`: the connections of one server: which are let in, where each of them is served, and what they hold while they are.

use core::pin::pin;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use futures::future::FutureExt;
use mainspring_executor::channel::Receiver;
use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::Notify;
use mainspring_executor::time::timeout;
use mainspring_executor::{Scope, reachable};

use crate::balance::{Handed, Seat, Seating};
use crate::context::Context;
use crate::peers::Admission;
use crate::serve::serve_connection;
use crate::telemetry::Stats;

/// How long it takes at most to see that another server has a free seat again: nobody says so.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// Where the connections of a server are served.
pub(crate) struct House {
    /// Their tasks, and those of handlers that go on without them.
    pub(crate) connections: Rc<Scope>,
    pub(crate) context: Rc<Context>,
    /// One more seat here is free.
    freed: Rc<Notify>,
}

/// What a connection holds as long as it is served.
struct Held {
    seat: Option<Seat>,
    _admission: Admission,
    freed: Rc<Notify>,
    stats: Arc<Stats>,
}

impl House {
    /// An empty one.
    pub(crate) fn new(context: Context) -> Self {
        Self { connections: Rc::new(Scope::new()), context: Rc::new(context), freed: Rc::default() }
    }

    /// Waits until there is a free seat, here or elsewhere. Cancel-safe.
    pub(crate) async fn room(&self, seating: &Seating) {
        while !seating.has_room() {
            reachable!("a full house lets others wait");
            self.change(seating).await;
        }
    }

    /// Brings a connection that was just accepted to a seat. While all are taken it waits; a drain lets it in without one,
    /// for what it has asked by then is to be answered.
    ///
    /// # Errors
    /// When the machine could not move it: it is closed then.
    pub(crate) async fn place(
        &self,
        mut stream: TcpStream,
        seating: &mut Seating,
    ) -> io::Result<()> {
        loop {
            match seating.take() {
                Some(seat) if seating.is_own(&seat) => {
                    self.serve(stream, Some(seat));
                    return Ok(());
                }
                Some(seat) => match seating.hand_over(stream.detach()?, seat) {
                    Ok(()) => {
                        self.context.stats.connections_handed_over.add(1);
                        return Ok(());
                    }
                    // It takes in no more at the moment: then rather here.
                    Err(back) => stream = back.attach()?,
                },
                None => {}
            }
            let seat = seating.take_own();
            if seat.is_some() || self.context.draining.is_cancelled() {
                self.serve(stream, seat);
                return Ok(());
            }
            let mut draining = self.context.draining.cancelled();
            futures::select_biased! {
                () = pin!(self.change(seating).fuse()) => {}
                () = (&mut draining).fuse() => {}
            }
        }
    }

    /// Serves what other servers hand over, until the drain begins; then what they have handed over by then.
    pub(crate) async fn take_in(&self, mut intake: Receiver<Handed>) {
        let mut draining = self.context.draining.cancelled();
        loop {
            let handed = futures::select_biased! {
                handed = pin!(intake.recv().fuse()) => handed,
                () = (&mut draining).fuse() => {
                    intake.close();
                    intake.recv().await
                }
            };
            let Some(Handed { stream, seat }) = handed else { return };
            match stream.attach() {
                Ok(stream) => self.serve(stream, Some(seat)),
                Err(error) => tracing::warn!("a connection was lost on its way: {error}"),
            }
        }
    }

    /// Waits until it is worth while to look for a seat again. Polled right after such a look it misses nothing.
    async fn change(&self, seating: &Seating) {
        let freed = self.freed.notified();
        if seating.is_alone() {
            freed.await;
        } else {
            // Whichever it was.
            let _ = timeout(FULL_PAUSE, freed).await;
        }
    }

    /// Serves a connection.
    fn serve(&self, stream: TcpStream, seat: Option<Seat>) {
        let Some(admission) = self.context.peers.admit(stream.peer_addr().ip()) else {
            reachable!("a peer has too many connections");
            self.context.stats.connections_refused.add(1);
            stream.abort();
            drop(seat);
            self.freed.notify_waiters();
            return;
        };
        let (context, stats) = (Rc::clone(&self.context), Arc::clone(&self.context.stats));
        stats.connections_open.add(1);
        let house = Rc::downgrade(&self.connections);
        let held = Held { seat, _admission: admission, freed: Rc::clone(&self.freed), stats };
        // The scope waits for it; its handle has nothing to say.
        drop(self.connections.spawn(serve_connection(stream, context, house, held)));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stats.connections_open.sub(1);
        drop(self.seat.take());
        // All of them: one that only waits for others to come must not keep it from one that somebody waits in.
        self.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use core::num::NonZeroUsize;

    use mainspring_executor::driver::ListenOptions;
    use mainspring_executor::net::TcpListener;
    use mainspring_executor::os::OsDriver;
    use mainspring_executor::{CancelToken, Shard};

    use super::*;
    use crate::Request;
    use crate::balance::Balance;
    use crate::exchange::Exchanges;

    fn house() -> House {
        let exchanges = Exchanges::new(async |_: Request| "hello");
        House::new(Context::new(exchanges, CancelToken::new(), Arc::default()))
    }

    /// Two connections, of which both have asked, come to a server without seats.
    fn check<F>(seats_elsewhere: usize, play: impl FnOnce(Stage) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let shard = Shard::new(Rc::new(OsDriver::new().expect("a driver")));
        let ran = shard.run(async move {
            let any_port = (Ipv4Addr::LOCALHOST, 0).into();
            let listener = TcpListener::bind(any_port, ListenOptions::default()).expect("a port");
            let address = listener.local_addr().expect("it listens");
            let mut parts = Balance::among(NonZeroUsize::new(2).expect("two")).into_iter();
            let (seating, _own) = parts.next().expect("two").open(0);
            let (_other, intake) = parts.next().expect("two").open(seats_elsewhere);
            let (mut clients, mut streams) = (Vec::new(), Vec::new());
            for _ in 0..2 {
                let mut client = TcpStream::connect(address).await.expect("it listens");
                client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it waits");
                let (mut stream, _) = listener.accept().await.expect("it came");
                stream.fill().await.expect("it says something");
                clients.push(client);
                streams.push(stream);
            }
            play(Stage { seating, intake, streams }).await;
            for mut client in clients {
                while client.fill().await.expect("no reset") > 0 {}
                assert!(client.buffered().starts_with(b"HTTP/1.1 200 OK"));
            }
        });
        ran.expect("the driver works");
    }

    struct Stage {
        seating: Seating,
        intake: Receiver<Handed>,
        streams: Vec<TcpStream>,
    }

    /// What is on its way when the drain begins is served like what is there.
    #[test]
    fn a_drain_serves_what_was_handed_over() {
        check(2, |stage| async {
            let Stage { mut seating, intake, streams } = stage;
            let house = house();
            for stream in streams {
                house.place(stream, &mut seating).await.expect("it moves");
            }
            assert_eq!(house.context.stats.connections_handed_over.load(), 2);
            house.context.draining.cancel();
            house.take_in(intake).await;
            house.connections.join().await.expect("none panics");
        });
    }

    /// What was accepted, and has no seat anywhere, is let in by the drain.
    #[test]
    fn a_drain_serves_what_waits_for_a_seat() {
        check(0, |stage| async {
            let Stage { mut seating, streams, intake: _intake } = stage;
            let house = house();
            let draining = house.context.draining.clone();
            let placing = async {
                for stream in streams {
                    house.place(stream, &mut seating).await.expect("it is let in");
                }
            };
            let drain = async {
                timeout(Duration::from_millis(20), core::future::pending::<()>()).await.ok();
                draining.cancel();
            };
            futures::join!(placing, drain);
            house.connections.join().await.expect("none panics");
        });
    }
}
