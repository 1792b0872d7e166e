//! What goes wrong for a while: programs that stand still, links that are cut, kernels without memory.

use core::time::Duration;

use mainspring_executor::Instant;
use mainspring_sim::{Host, World};

/// Lets the programs of a host stand still for so long, so long after the start.
pub(crate) fn pause(world: &World, host: &Host, after: Duration, length: Duration) {
    let host = host.clone();
    world.at(Instant::START + after, move |world| {
        host.pause();
        world.at(world.now() + length, move |_| host.resume());
    });
}

/// Cuts one direction of a link for so long, so long after the start.
pub(crate) fn cut(world: &World, from: &Host, to: &Host, after: Duration, length: Duration) {
    let (from, to) = (from.clone(), to.clone());
    world.at(Instant::START + after, move |world| {
        world.cut(&from, &to);
        world.at(world.now() + length, move |world| world.heal(&from, &to));
    });
}

/// Takes a host's memory for sockets away for so long, so long after the start.
pub(crate) fn no_memory(world: &World, host: &Host, after: Duration, length: Duration) {
    let host = host.clone();
    world.at(Instant::START + after, move |world| {
        host.set_socket_memory(Some(0));
        world.at(world.now() + length, move |_| host.set_socket_memory(None));
    });
}
