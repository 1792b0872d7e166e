//! `Names`: what the sockets of a machine can be found by.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::path::PathBuf;

use mainspring_executor::driver::Instant;

use super::datagrams::MailboxId;
use super::pairs::Pairs;
use crate::event::ListenerId;
use crate::ports::Ports;

/// See the file.
#[derive(Debug)]
pub(crate) struct Names {
    /// TCP listeners by port, in the order in which they were made.
    pub(super) listeners: BTreeMap<u16, Vec<ListenerId>>,
    pub(crate) pairs: Pairs,
    /// UDP sockets by port.
    pub(super) mailboxes: BTreeMap<u16, Vec<MailboxId>>,
    pub(super) udp_ports: Ports,
    /// Nothing that stays on the machine overtakes anything.
    pub(super) last_loopback_arrival: Instant,
    /// The paths of Unix sockets; `None` where the listener is gone and its path was left behind.
    pub(super) paths: BTreeMap<PathBuf, Option<ListenerId>>,
}

impl Names {
    pub(crate) fn new(ephemeral_ports: &RangeInclusive<u16>) -> Self {
        Self {
            listeners: BTreeMap::new(),
            pairs: Pairs::new(ephemeral_ports.clone()),
            mailboxes: BTreeMap::new(),
            udp_ports: Ports::new(ephemeral_ports.clone()),
            last_loopback_arrival: Instant::START,
            paths: BTreeMap::new(),
        }
    }

    /// The machine crashes: all ports are free, and the paths are files on its disk, so they stay.
    pub(super) fn lose(&mut self) {
        self.listeners.clear();
        self.mailboxes.clear();
        self.pairs.lose();
        self.udp_ports.give_all_back();
        self.last_loopback_arrival = Instant::START;
        for listener in self.paths.values_mut() {
            *listener = None;
        }
    }
}
