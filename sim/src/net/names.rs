//! `Names`: what the sockets of a machine can be found by.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mainspring_executor::driver::Instant;

use super::datagrams::MailboxId;
use crate::event::ListenerId;
use crate::ports::Ports;

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// TCP listeners by port, in the order in which they were made.
    pub(super) listeners: BTreeMap<u16, Vec<ListenerId>>,
    pub(super) tcp_ports: Ports,
    /// UDP sockets by port.
    pub(super) mailboxes: BTreeMap<u16, Vec<MailboxId>>,
    pub(super) udp_ports: Ports,
    /// Nothing that stays on the machine overtakes anything.
    pub(super) last_loopback_arrival: Instant,
    /// The paths of Unix sockets; `None` where the listener is gone and its path was left behind.
    pub(super) paths: BTreeMap<PathBuf, Option<ListenerId>>,
}

impl Names {
    /// The machine crashes: all ports are free, and the paths are files on its disk, so they stay.
    pub(super) fn lose(&mut self) {
        self.listeners.clear();
        self.mailboxes.clear();
        self.tcp_ports.give_all_back();
        self.udp_ports.give_all_back();
        self.last_loopback_arrival = Instant::START;
        for listener in self.paths.values_mut() {
            *listener = None;
        }
    }
}
