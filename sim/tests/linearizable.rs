//! Histories of a register are checked for linearizability: one that is read from a replica before that has what was written is
//! found, and one whose writes wait for the replica is not.

use core::net::SocketAddr;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::spawn;
use mainspring_sim::{Host, World, WorldConfig};
use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};

/// What clients asked and were answered, in the order in which that happened: a run is one thread.
type History = LinearizabilityTester<u64, Register<u8>>;

const READ: u8 = 0;

/// Whether a write is acknowledged before the replica has it: the bug.
#[derive(Clone, Copy, PartialEq)]
enum Acknowledged {
    Early,
    InTime,
}

/// One request and its answer, on a connection of its own: [`READ`], or the value to be written.
async fn ask(to: SocketAddr, request: u8) -> u8 {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    stream.write_all(&[request]).await.expect("it reads");
    let mut answer = [0];
    assert_eq!(stream.read(&mut answer).await.expect("it answers"), 1);
    answer[0]
}

/// Keeps a value. Where there is a replica that is told of each write.
async fn keep(replica: Option<SocketAddr>, acknowledged: Acknowledged) {
    let any = ([0, 0, 0, 0], 80).into();
    let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
    let value = Rc::new(Cell::new(0));
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let value = Rc::clone(&value);
        drop(spawn(async move {
            let mut request = [0];
            let count = stream.read(&mut request).await.expect("a client asks");
            if count == 1 && request[0] != READ {
                value.set(request[0]);
                if let Some(replica) = replica {
                    let copy = spawn(ask(replica, request[0]));
                    if acknowledged == Acknowledged::InTime {
                        copy.await.expect("no panic");
                    }
                }
            }
            stream.write_all(&[value.get()]).await.expect("the client reads");
        }));
    }
}

/// Writes two values, of its own, and reads after each.
async fn use_register(
    client: u64,
    primary: SocketAddr,
    replica: SocketAddr,
    history: Rc<RefCell<History>>,
) {
    let invoke = |op| {
        assert!(history.borrow_mut().on_invoke(client, op).is_ok(), "one call at a time");
    };
    let returns = |ret| {
        assert!(history.borrow_mut().on_return(client, ret).is_ok(), "it was called");
    };
    for round in 1..=2 {
        let value = u8::try_from(client * 10 + round).expect("few clients");
        invoke(RegisterOp::Write(value));
        ask(primary, value).await;
        returns(RegisterRet::WriteOk);
        invoke(RegisterOp::Read);
        let read = ask(replica, READ).await;
        returns(RegisterRet::ReadOk(read));
    }
}

/// Whether three clients saw what one register could have shown them.
fn is_linearizable(seed: u64, acknowledged: Acknowledged) -> bool {
    let world = World::new(seed, WorldConfig::rough());
    let hosts: [Host; 2] = ["primary", "replica"].map(|name| world.host(name));
    let [primary, replica] = hosts.each_ref().map(|host| host.address(80));
    drop(hosts[0].spawn(keep(Some(replica), acknowledged)));
    drop(hosts[1].spawn(keep(None, acknowledged)));
    let history = Rc::new(RefCell::new(History::new(Register(0))));
    for client in 1..=3 {
        let host = world.host(&format!("client-{client}"));
        host.run(use_register(client, primary, replica, Rc::clone(&history)));
    }
    world.run().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(history.borrow().len(), 12);
    let history = history.borrow();
    history.is_consistent()
}

#[test]
fn a_stale_read_is_found() {
    let stale = (0..50).filter(|seed| !is_linearizable(*seed, Acknowledged::Early)).count();
    assert!(stale >= 10, "{stale} of 50 seeds");
}

#[test]
fn writes_that_wait_for_the_replica_are_linearizable() {
    for seed in 0..200 {
        assert!(is_linearizable(seed, Acknowledged::InTime), "seed {seed}");
    }
}
