//! `Tree`: which paths there are, and which changes of them are not yet on the disk.
//!
//! A disk with a journal keeps changes of names in their order: after a crash there are all up to some, and none behind it.
//! The sync of a folder puts all of them on the disk, that of a file none: so does POSIX promise no more.
//!
//! Invariant: taking back the changes that are not on the disk, the last one first, gives what is on it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use crate::files::Node;

/// Changes that may be on their way to the disk; beyond it the first is written back unasked.
const UNSYNCED_MAX: usize = 1024;

/// A path, and what it names; `None`: nothing.
pub(crate) type Name = (PathBuf, Option<Node>);

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
    /// Each with what its paths named before.
    unsynced: VecDeque<Vec<Name>>,
}

impl Tree {
    pub(crate) const fn nodes(&self) -> &BTreeMap<PathBuf, Node> {
        &self.nodes
    }

    /// Gives some paths another meaning, all at once: after a crash it is there whole, or not at all.
    pub(crate) fn change(&mut self, names: impl IntoIterator<Item = Name>) {
        let before = names.into_iter().map(|(path, node)| self.set(path, node)).collect();
        if self.unsynced.len() == UNSYNCED_MAX {
            self.unsynced.pop_front();
        }
        self.unsynced.push_back(before);
    }

    fn set(&mut self, path: PathBuf, node: Option<Node>) -> Name {
        let before = match node {
            Some(node) => self.nodes.insert(path.clone(), node),
            None => self.nodes.remove(&path),
        };
        (path, before)
    }

    /// All changes are on the disk.
    pub(crate) fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// The power goes: how many of the last changes do not get to the disk is drawn, 0 being none of them. Gives their number.
    pub(crate) fn crash(&mut self, choose: &mut impl FnMut(u64) -> u64) -> u64 {
        let count = self.unsynced.len() as u64;
        let lost = match if count == 0 { 0 } else { choose(3) } {
            0 => 0,
            1 => 1 + choose(count),
            _ => count,
        };
        for _ in 0..lost {
            let change = self.unsynced.pop_back().expect("no more are lost than there are");
            for (path, node) in change.into_iter().rev() {
                self.set(path, node);
            }
        }
        self.sync();
        lost
    }
}
