//! `Lists`: many lists of keys in one piece of memory. Each list keeps the order of pushing.
//!
//! A list is a chain of blocks, and a block holds a dozen keys. Removing a key leaves a hole, and a block goes when its
//! last key does: so a key never moves, its spot stays good, and a list takes at most one block for each key. A
//! chain of single timers would be as short to write; but following it waits for memory at each timer, while the keys of
//! a block are all known at once, and taking a key out touches its block and not two other timers.
//!
//! Invariant: each block of a list has a key.

use slab::Slab;

/// The keys of a block: with them it is as large as a cache line.
const BLOCK_KEY_COUNT: usize = 12;

/// No key, or no block.
const NONE: u32 = u32::MAX;

/// The blocks of all lists.
#[derive(Default)]
pub(super) struct Lists {
    blocks: Slab<Block>,
}

/// The ends of a list: its first and last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    first: u32,
    last: u32,
}

/// Where a key is in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    block: u32,
    position: u16,
}

struct Block {
    keys: [u32; BLOCK_KEY_COUNT],
    previous: u32,
    next: u32,
    /// So many places were filled once; behind them is room.
    filled: u16,
    /// So many of them are filled now.
    live: u16,
}

/// The keys of a block that was taken out of its list.
pub(super) type Keys =
    core::iter::Filter<core::array::IntoIter<u32, BLOCK_KEY_COUNT>, fn(&u32) -> bool>;

impl List {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };

    pub(super) fn is_empty(self) -> bool {
        self.first == NONE
    }
}

impl Lists {
    /// Puts a key at the end of a list.
    ///
    /// # Panics
    /// At 2³² - 1 blocks; for the key `u32::MAX`.
    pub(super) fn push(&mut self, list: &mut List, key: u32) -> Spot {
        assert!(key != NONE, "there are fewer than 2^32 - 1 keys");
        if let Some(block) = self.blocks.get_mut(list.last as usize)
            && let Some(place) = block.keys.get_mut(usize::from(block.filled))
        {
            *place = key;
            let position = block.filled;
            block.filled += 1;
            block.live += 1;
            return Spot { block: list.last, position };
        }
        self.push_block(list, key)
    }

    fn push_block(&mut self, list: &mut List, key: u32) -> Spot {
        let mut keys = [NONE; BLOCK_KEY_COUNT];
        keys[0] = key;
        let block = Block { keys, previous: list.last, next: NONE, filled: 1, live: 1 };
        let index =
            u32::try_from(self.blocks.insert(block)).expect("a block for each key is enough");
        assert!(index != NONE, "there are fewer than 2^32 - 1 blocks");
        match list.last {
            NONE => list.first = index,
            last => self.blocks[last as usize].next = index,
        }
        list.last = index;
        Spot { block: index, position: 0 }
    }

    /// Takes the key at a spot out of its list.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn remove(&mut self, list: &mut List, spot: Spot) -> u32 {
        let block = &mut self.blocks[spot.block as usize];
        let key = core::mem::replace(&mut block.keys[usize::from(spot.position)], NONE);
        assert!(key != NONE, "a key is removed once");
        block.live -= 1;
        if block.live == 0 {
            self.remove_block(list, spot.block);
        }
        key
    }

    fn remove_block(&mut self, list: &mut List, index: u32) {
        let Block { previous, next, .. } = self.blocks.remove(index as usize);
        match previous {
            NONE => list.first = next,
            _ => self.blocks[previous as usize].next = next,
        }
        match next {
            NONE => list.last = previous,
            _ => self.blocks[next as usize].previous = previous,
        }
    }

    /// Takes the first keys out of a list that will not be used otherwise any more; `None` when it is empty.
    pub(super) fn take_keys(&mut self, list: &mut List) -> Option<Keys> {
        let block = self.blocks.try_remove(list.first as usize)?;
        list.first = block.next;
        Some(block.keys.into_iter().filter(|key| *key != NONE))
    }

    /// The keys of a list, in the order of pushing.
    pub(super) fn keys(&self, list: &List) -> impl Iterator<Item = u32> {
        let block = |index: u32| self.blocks.get(index as usize);
        let blocks = core::iter::successors(block(list.first), move |before| block(before.next));
        blocks.flat_map(|block| block.keys).filter(|key| *key != NONE)
    }
}
