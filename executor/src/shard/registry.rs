//! `Registry`: the live tasks of a shard. What is known of each is with the task itself.

use crate::task::{TaskId, TaskRef};

/// The live tasks, each at its slot.
#[derive(Default)]
pub(crate) struct Registry {
    slots: Vec<Option<TaskRef>>,
    /// The empty slots, the one to be filled next at the end.
    free: Vec<u32>,
    spawned: u64,
}

impl Registry {
    /// The id of the next task.
    pub(crate) fn next_id(&self) -> TaskId {
        TaskId(self.spawned)
    }

    /// The id and the slot of the next task.
    #[inline(always)]
    pub(crate) fn next(&self) -> (TaskId, u32) {
        let slot = self.free.last().copied();
        let new = || u32::try_from(self.slots.len()).expect("fewer than 2^32 tasks are alive");
        (self.next_id(), slot.unwrap_or_else(new))
    }

    /// Adds the task that was made for [`Registry::next`].
    #[inline(always)]
    pub(crate) fn add(&mut self, task: TaskRef) {
        let slot = task.slot();
        match self.free.pop() {
            Some(free) => {
                assert_eq!(free, slot, "a task is added right after its slot was given");
                self.slots[slot as usize] = Some(task);
            }
            None => {
                assert_eq!(self.slots.len(), slot as usize, "as above");
                self.slots.push(Some(task));
            }
        }
        self.spawned += 1;
    }

    /// Takes a task out that has ended.
    #[inline(always)]
    pub(crate) fn remove(&mut self, task: &TaskRef) {
        let slot = task.slot();
        let removed = self.slots[slot as usize].take();
        assert!(removed.as_ref() == Some(task), "the registry knows each task by its slot");
        self.free.push(slot);
    }

    /// A live task of which only the id and the slot are at hand.
    pub(crate) fn task_at(&self, id: TaskId, slot: u32) -> &TaskRef {
        let task = self.slots[slot as usize].as_ref().filter(|task| task.id() == id);
        task.expect("the registry knows each live task by its slot")
    }

    /// The live tasks, in the order in which they were spawned.
    pub(crate) fn by_id(&self) -> Vec<&TaskRef> {
        let mut tasks: Vec<&TaskRef> = self.slots.iter().flatten().collect();
        tasks.sort_by_key(|task| task.id());
        tasks
    }

    /// How many tasks live.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many there ever were.
    #[inline(always)]
    pub(crate) fn spawned(&self) -> u64 {
        self.spawned
    }
}
