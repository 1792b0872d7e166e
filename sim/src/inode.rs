//! `Inode`: the content of a file, and which of its changes are not yet on the disk.
//!
//! Invariant: taking back the changes that are not on the disk, the last one first, gives what is on it.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::ErrorKind;

/// How large a file may get: what programs keep in a simulated one lies in memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Changes of one file that may be on their way to the disk; beyond it the first is written back unasked, as a kernel does
/// with what has been waiting for long.
const UNSYNCED_MAX: usize = 1024;

/// And beyond so many bytes that these changes have written over.
const UNSYNCED_BYTES_MAX: usize = 64 << 20;

/// A file.
#[derive(Debug)]
pub(crate) struct Inode {
    bytes: Vec<u8>,
    /// When it last changed, since 1970.
    pub(crate) modified: Duration,
    unsynced: VecDeque<Change>,
    /// What they have written over, together.
    unsynced_bytes: usize,
}

/// How to take a change back.
#[derive(Debug)]
struct Change {
    offset: usize,
    /// What was there before.
    before: Vec<u8>,
    /// How long the file was before.
    length_before: usize,
}

/// How to make a change again.
#[derive(Debug)]
struct Redo {
    offset: usize,
    /// What it put there.
    bytes: Vec<u8>,
    /// It cut the file there.
    is_cut: bool,
}

impl Inode {
    /// A file whose content is on the disk.
    pub(crate) fn synced(bytes: Vec<u8>, modified: Duration) -> Self {
        Self { bytes, modified, unsynced: VecDeque::new(), unsynced_bytes: 0 }
    }

    pub(crate) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Up to `length` bytes from `offset` on; none past the end.
    pub(crate) fn read_at(&self, offset: u64, length: usize) -> Vec<u8> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let end = start.saturating_add(length).min(self.bytes.len());
        self.bytes[start..end].to_vec()
    }

    /// Writes all of `bytes`; a gap before them is filled with zeros.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8], now: Duration) {
        let start = usize::try_from(offset).expect("checked for room");
        let end = start + bytes.len();
        self.note(start, end);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.modified = now;
    }

    /// Cuts it, or fills it with zeros.
    pub(crate) fn set_length(&mut self, length: u64, now: Duration) {
        let length = usize::try_from(length).expect("checked for room");
        self.note(length, usize::MAX);
        self.bytes.resize(length, 0);
        self.modified = now;
    }

    /// # Errors
    /// `InvalidInput` for an offset that no file has, `FileTooLarge` for one that is too long for memory.
    pub(crate) fn check_room(offset: u64, length: usize) -> Result<(), ErrorKind> {
        let end = offset.saturating_add(length as u64);
        match end {
            _ if i64::try_from(offset).is_err() => Err(ErrorKind::InvalidInput),
            _ if end > FILE_BYTES_MAX => Err(ErrorKind::FileTooLarge),
            _ => Ok(()),
        }
    }

    /// All changes are on the disk.
    pub(crate) fn sync(&mut self) {
        self.unsynced.clear();
        self.unsynced_bytes = 0;
    }

    /// What is on the disk if none of the changes that are on their way gets there.
    pub(crate) fn on_disk(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for Change { offset, before, length_before } in self.unsynced.iter().rev() {
            bytes.resize(*length_before, 0);
            bytes[*offset..*offset + before.len()].copy_from_slice(before);
        }
        bytes
    }

    /// The power goes: how much of what is not on the disk gets there is drawn, 0 being all. Else none of it does, or each
    /// change whole, from its start up to somewhere, or not at all: disks keep no order between two syncs. Gives how many
    /// did not, or not whole.
    pub(crate) fn crash(&mut self, choose: &mut impl FnMut(u64) -> u64) -> u64 {
        if self.unsynced.is_empty() {
            return 0;
        }
        let is_any_kept = match choose(3) {
            0 => {
                self.sync();
                return 0;
            }
            1 => true,
            _ => false,
        };
        let mut lost_count = 0;
        for change in self.take_back() {
            let length = change.bytes.len();
            let lost = match if is_any_kept { choose(3) } else { 2 } {
                0 => None,
                1 if length > 1 => Some(1 + size(choose(length as u64))),
                _ => Some(length),
            };
            lost_count += u64::from(lost.is_some());
            self.redo(&change, lost);
        }
        lost_count
    }

    /// Takes all changes back that are not on the disk, and gives them in the order in which they were made.
    fn take_back(&mut self) -> Vec<Redo> {
        let mut changes = Vec::new();
        while let Some(Change { offset, before, length_before }) = self.unsynced.pop_back() {
            let length = self.bytes.len();
            let is_cut = length < length_before;
            let end = if length > length_before { length } else { offset + before.len() };
            let bytes = self.bytes[offset..end.min(length)].to_vec();
            changes.push(Redo { offset, bytes, is_cut });
            self.bytes.resize(length_before, 0);
            self.bytes[offset..offset + before.len()].copy_from_slice(&before);
        }
        self.unsynced_bytes = 0;
        changes.reverse();
        changes
    }

    /// Makes a change once more, without its last `lost` bytes; none are lost of one that is whole.
    fn redo(&mut self, change: &Redo, lost: Option<usize>) {
        if change.is_cut && lost.is_none() {
            self.bytes.truncate(change.offset);
        }
        let kept = &change.bytes[..change.bytes.len() - lost.unwrap_or(0)];
        let end = change.offset + kept.len();
        if kept.is_empty() {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[change.offset..end].copy_from_slice(kept);
    }

    /// Notes what is about to change from `start` up to `end`.
    fn note(&mut self, start: usize, end: usize) {
        let length_before = self.bytes.len();
        let offset = start.min(length_before);
        let before = self.bytes[offset..end.clamp(offset, length_before)].to_vec();
        self.unsynced_bytes += before.len();
        self.unsynced.push_back(Change { offset, before, length_before });
        while self.unsynced.len() > UNSYNCED_MAX
            || self.unsynced_bytes > UNSYNCED_BYTES_MAX && self.unsynced.len() > 1
        {
            let written_back = self.unsynced.pop_front().expect("there are several");
            self.unsynced_bytes -= written_back.before.len();
        }
    }
}

fn size(count: u64) -> usize {
    usize::try_from(count).expect("no more than a change is long")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Write(u64, Vec<u8>),
        SetLength(u64),
        Sync,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..40_u64, proptest::collection::vec(any::<u8>(), 1..20))
                .prop_map(|(offset, bytes)| Op::Write(offset, bytes)),
            2 => (0..60_u64).prop_map(Op::SetLength),
            1 => Just(Op::Sync),
        ]
    }

    proptest! {
        /// Against two plain lists of bytes: what is read is what was written last, what is on the disk is what was there
        /// at the last sync.
        #[test]
        fn what_was_synced_is_kept_apart(ops in proptest::collection::vec(op(), 0..60)) {
            let mut inode = Inode::synced(Vec::new(), Duration::ZERO);
            let (mut content, mut disk) = (Vec::new(), Vec::new());
            for op in ops {
                match op {
                    Op::Write(offset, bytes) => {
                        inode.write_at(offset, &bytes, Duration::ZERO);
                        let start = usize::try_from(offset).unwrap();
                        let end = start + bytes.len();
                        content.resize(end.max(content.len()), 0);
                        content[start..end].copy_from_slice(&bytes);
                    }
                    Op::SetLength(length) => {
                        inode.set_length(length, Duration::ZERO);
                        content.resize(usize::try_from(length).unwrap(), 0);
                    }
                    Op::Sync => {
                        inode.sync();
                        disk.clone_from(&content);
                    }
                }
                prop_assert_eq!(&inode.read_at(0, 1000), &content);
                prop_assert_eq!(&inode.on_disk(), &disk);
            }
        }
    }

    proptest! {
        /// The harmless answer keeps all, the other end none, and changes that are made once more one by one give the whole.
        #[test]
        fn a_crash_leaves_what_was_chosen(ops in proptest::collection::vec(op(), 0..60)) {
            let [mut all, mut none, mut one_by_one] =
                [(), (), ()].map(|()| Inode::synced(b"content".to_vec(), Duration::ZERO));
            for op in &ops {
                for inode in [&mut all, &mut none, &mut one_by_one] {
                    match op {
                        Op::Write(offset, bytes) => inode.write_at(*offset, bytes, Duration::ZERO),
                        Op::SetLength(length) => inode.set_length(*length, Duration::ZERO),
                        Op::Sync => inode.sync(),
                    }
                }
            }
            let (content, disk) = (all.bytes.clone(), all.on_disk());
            prop_assert_eq!(all.crash(&mut |_| 0), 0);
            none.crash(&mut |bound| bound - 1);
            let mut mode = Some(1);
            prop_assert_eq!(one_by_one.crash(&mut |_| mode.take().unwrap_or(0)), 0);
            prop_assert_eq!([&all.bytes, &one_by_one.bytes], [&content; 2]);
            prop_assert_eq!(&none.bytes, &disk);
            for inode in [all, none, one_by_one] {
                prop_assert_eq!(inode.on_disk(), inode.bytes, "what is left is on the disk");
            }
        }
    }

    #[test]
    fn old_changes_are_written_back() {
        let mut inode = Inode::synced(vec![0], Duration::ZERO);
        for value in 1..=255 {
            inode.write_at(0, &[value], Duration::ZERO);
        }
        assert_eq!((inode.unsynced.len(), inode.on_disk()), (255, vec![0]));
        for _ in 0..UNSYNCED_MAX {
            inode.write_at(0, &[7], Duration::ZERO);
        }
        assert_eq!((inode.unsynced.len(), inode.on_disk()), (UNSYNCED_MAX, vec![255]));
        // Big ones sooner: so many fit.
        let size = UNSYNCED_BYTES_MAX / 4;
        let mut inode = Inode::synced(vec![0; size], Duration::ZERO);
        for value in 1..=9 {
            inode.write_at(0, &vec![value; size], Duration::ZERO);
        }
        assert_eq!((inode.unsynced.len(), inode.on_disk()[0]), (4, 5));
        inode.sync();
        inode.write_at(0, &[1], Duration::ZERO);
        assert_eq!((inode.unsynced_bytes, inode.unsynced.len()), (1, 1));
    }
}
