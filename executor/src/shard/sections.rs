//! `Sections`: the live sections of a shard, see [`shield`](crate::shield). What they do is written there; this is for who
//! waits for all of them, and for the counters.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::turn::Core;
use crate::scope::Children;
use crate::task::{TaskId, TaskRef};

/// See the file.
#[derive(Default)]
pub(crate) struct Sections {
    tasks: RefCell<BTreeMap<TaskId, TaskRef>>,
}

impl Sections {
    /// Those that live now, in the order in which they were begun.
    pub(super) fn live(&self) -> Vec<TaskRef> {
        self.tasks.borrow().values().cloned().collect()
    }
}

impl Core {
    /// A section was made. Nothing foreign runs in here: it is called while the registry is borrowed.
    pub(super) fn begin_section(&self, section: &TaskRef, scope: Option<&Children>) {
        if let Some(scope) = scope {
            scope.add_section(section.clone());
        }
        let mut tasks = self.sections.tasks.borrow_mut();
        tasks.insert(section.id(), section.clone());
        self.metrics.shields_live.set(tasks.len() as u64);
    }

    /// A section has ended.
    pub(super) fn end_section(&self, section: &TaskRef, was_cut: bool) {
        let mut tasks = self.sections.tasks.borrow_mut();
        let ended = tasks.remove(&section.id());
        assert!(ended.is_some(), "a section ends once");
        self.metrics.shields_live.set(tasks.len() as u64);
        drop(tasks);
        if was_cut {
            self.metrics.shields_cut.add(1);
            tracing::warn!(
                task = section.id().0,
                begun_at = %section.origin(),
                "a shielded section was cut: its shard was shut down"
            );
        }
    }

    /// Hands a live section to another scope, or to none.
    pub(crate) fn hand_over(&self, section: TaskRef, heir: Option<&Rc<Children>>) {
        drop(section.replace_scope(heir.cloned()));
        if let Some(heir) = heir {
            heir.add_section(section);
        }
    }
}
