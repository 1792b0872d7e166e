//! Connections that are handed from one thread's shard to another's.
#![expect(clippy::disallowed_methods, reason = "each shard has a thread of its own")]

use std::sync::Mutex;

use futures::future::{join, join_all};
use mainspring_executor::channel::channel;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{DetachedStream, TcpListener, TcpStream};
use mainspring_executor::os::run_shards;
use mainspring_executor::time::timeout;
use mainspring_executor::{Scope, spawn};

use crate::worlds::{TIME_MAX, on_both, rounds};

/// Gives back what it gets, until the peer ends.
async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer).await.expect("the connection is whole") {
            0 => return,
            count => stream.write_all(&buffer[..count]).await.expect("the peer reads"),
        }
    }
}

/// Sends words and expects each back.
async fn talk(mut stream: TcpStream, words: u32) {
    for word in 0..words {
        stream.write_all(&word.to_be_bytes()).await.expect("the peer reads");
        let mut answer = Vec::new();
        while answer.len() < 4 {
            assert!(stream.fill().await.expect("the connection is whole") > 0);
            answer.extend_from_slice(stream.buffered());
            stream.consume(stream.buffered().len());
        }
        assert_eq!(answer, word.to_be_bytes());
    }
}

#[test]
fn a_shard_accepts_and_others_serve() {
    let connections = rounds(200);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| channel(16)).unzip();
    let senders = Mutex::new(Some(senders));
    let receivers = Mutex::new(receivers.into_iter().map(Some).collect::<Vec<_>>());
    let outputs = run_shards(3.try_into().unwrap(), |peers| {
        let index = peers.own();
        let senders = (index == 0).then(|| senders.lock().unwrap().take().unwrap());
        let receiver = (index > 0).then(|| receivers.lock().unwrap()[index - 1].take().unwrap());
        timeout(TIME_MAX, async move {
            if let Some(mut connections) = receiver {
                let scope = Scope::new();
                let mut count = 0;
                while let Some(connection) = connections.recv().await {
                    let connection: DetachedStream = connection;
                    drop(scope.spawn(echo(connection.attach().unwrap())));
                    count += 1;
                }
                scope.join().await.expect("none of them panics");
                return count;
            }
            let mut senders = senders.expect("the first has the senders");
            let any_port = "127.0.0.1:0".parse().unwrap();
            let listener = TcpListener::bind(any_port, ListenOptions::default()).unwrap();
            let address = listener.local_addr().unwrap();
            let clients = join_all((0..connections).map(|_| async {
                spawn(talk(TcpStream::connect(address).await.unwrap(), 10)).await.unwrap();
            }));
            let accepting = async {
                for number in 0..connections {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    // With the first word in its buffer.
                    assert!(stream.fill().await.unwrap() > 0);
                    senders[number % 2].send(stream.detach().unwrap()).await.unwrap();
                }
                drop(senders);
            };
            join(clients, accepting).await;
            0
        })
    });
    let served: usize = outputs.into_iter().map(|count| count.unwrap().unwrap()).sum();
    assert_eq!(served, connections);
}

#[test]
fn what_is_dropped_on_a_thread_without_a_shard_is_closed() {
    on_both(|| async {
        let any_port = "127.0.0.1:0".parse().unwrap();
        let listener = TcpListener::bind(any_port, ListenOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = join(TcpStream::connect(address), listener.accept()).await;
        let (mut client, detached) = (client.unwrap(), server.unwrap().0.detach().unwrap());
        std::thread::scope(|threads| {
            threads.spawn(move || drop(detached));
        });
        assert_eq!(client.fill().await.unwrap(), 0);
    });
}
