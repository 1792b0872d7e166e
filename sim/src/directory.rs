//! `Directory`: which names are known in the room, and their addresses. One for all hosts, as the resolver that they ask.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use crate::choice::Label;
use crate::coverage::Fault;
use crate::event::ShardId;
use crate::room::Room;

/// Names in small letters, with at least one address each.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    names: BTreeMap<String, Vec<IpAddr>>,
}

impl Directory {
    /// Gives a name its addresses; none at all, and it is unknown.
    pub(crate) fn set(&mut self, name: &str, addresses: &[IpAddr]) {
        let name = name.to_ascii_lowercase();
        match addresses.is_empty() {
            true => self.names.remove(&name),
            false => self.names.insert(name, addresses.to_vec()),
        };
    }
}

impl Room {
    /// The addresses of a name.
    ///
    /// # Errors
    /// `NotFound` where it is unknown, or the resolver fails: a program cannot tell.
    pub(crate) fn resolve(&mut self, shard: ShardId, name: &str) -> io::Result<Vec<IpAddr>> {
        let failure = (Label::NameFailure, Fault::NameFailure);
        let failed = self.fails(shard, failure, self.config.name_failure_one_in);
        let known = self.directory.names.get(&name.to_ascii_lowercase());
        match known {
            Some(addresses) if !failed => Ok(addresses.clone()),
            Some(_) => Err(io::Error::new(ErrorKind::NotFound, "the resolver does not answer")),
            None => Err(io::Error::new(ErrorKind::NotFound, "the name is not known")),
        }
    }
}
