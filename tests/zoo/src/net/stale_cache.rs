//! A cache that is told by its store what has changed, as long as the connection lasts.

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::broadcast;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, ask, ask_once, finish, hear, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const STALE_CACHE: Specimen = specimen!(
    "stale-cache",
    "a cache keeps what it has while it was not told of changes",
    search: "a change between the loss of the connection and the next one",
    source: "hazelcast #9177",
    run,
);

#[derive(Default)]
struct Store {
    values: RefCell<BTreeMap<u64, u64>>,
}

/// Answers `get KEY`, or tells of changes after `watch`, until that connection is lost.
async fn talk(
    on: Host,
    store: Rc<Store>,
    mut changes: broadcast::Receiver<u64>,
    mut stream: TcpStream,
) {
    let Some(request) = hear(&mut stream).await else { return };
    if let Some(key) = request.strip_prefix("get ") {
        let key = key.parse().expect("caches ask for numbers");
        let value = store.values.borrow().get(&key).copied().unwrap_or(0);
        // Nobody reads it where the cache is gone.
        let _ = say(&mut stream, value).await;
        return;
    }
    if say(&mut stream, "watching").await.is_err() {
        return;
    }
    while let Ok(key) = changes.recv().await {
        // A router forgets the connection, now and then.
        if on.choose(30) == 29 {
            stream.abort();
            return;
        }
        if say(&mut stream, key).await.is_err() {
            return;
        }
    }
}

#[derive(Default)]
struct Cache {
    values: RefCell<BTreeMap<u64, u64>>,
    /// Grows with each change that is told: a value that was under way then may be an old one.
    age: Cell<u64>,
}

impl Cache {
    /// Drops what has changed.
    async fn follow(self: Rc<Self>, store: Host, twin: Twin) {
        loop {
            if let Ok(mut stream) = TcpStream::connect(store.address(PORT)).await
                && ask(&mut stream, "watch").await.is_some()
            {
                // What changed meanwhile, nobody tells.
                if twin.is_fixed() {
                    self.age.update(|age| age + 1);
                    self.values.borrow_mut().clear();
                }
                while let Some(key) = hear(&mut stream).await {
                    self.age.update(|age| age + 1);
                    self.values.borrow_mut().remove(&key.parse().expect("keys are numbers"));
                }
            }
            sleep(ms(500)).await;
        }
    }

    async fn value(&self, store: &Host, key: u64) -> u64 {
        if let Some(value) = self.values.borrow().get(&key) {
            return *value;
        }
        let age = self.age.get();
        let value = ask_once(store, format!("get {key}")).await.expect("the store answers");
        let value = value.parse().expect("values are numbers");
        if age == self.age.get() {
            self.values.borrow_mut().insert(key, value);
        }
        value
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (host, front) = (world.host("store"), world.host("front"));
    let (store, cache) = (Rc::new(Store::default()), Rc::new(Cache::default()));
    let (changed, _) = broadcast::channel(64);
    let (talking, subscriptions, on) = (Rc::clone(&store), changed.clone(), host.clone());
    host.spawn(serve(move |stream| {
        talk(on.clone(), Rc::clone(&talking), subscriptions.subscribe(), stream)
    }));
    front.spawn(Rc::clone(&cache).follow(host.clone(), twin));
    let (keys, changes) = (1 + world.choose(5), world.choose(50));
    let (writing, on) = (Rc::clone(&store), host.clone());
    host.run(async move {
        for number in 0..changes {
            sleep(ms(on.choose(200))).await;
            let key = on.choose(keys);
            writing.values.borrow_mut().insert(key, number + 1);
            // Nobody may follow just now.
            let _ = changed.send(key);
        }
    });
    let (reads, on) = (world.choose(100), front.clone());
    front.run(async move {
        for _ in 0..reads {
            sleep(ms(on.choose(200))).await;
            let _ = cache.value(&host, on.choose(keys)).await;
        }
        sleep(ms(15_000)).await;
        for key in 0..keys {
            let value = cache.value(&host, key).await;
            let right = store.values.borrow().get(&key).copied().unwrap_or(0);
            assert_eq!(value, right, "some time after the last change the cache is right");
        }
    });
    let services =
        [world.find("store"), world.find("front")].map(|host| host.expect("it is there"));
    finish(&world, &[&services[0], &services[1]], reads)
}
