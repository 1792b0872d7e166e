//! Bugs between a service and its disk: what a crash leaves, what a disk refuses.

mod early_answer;
mod ignored_error;
mod journal;
mod replayed_twice;
mod torn_record;
mod unsynced_folder;
mod unsynced_rename;

use crate::Specimen;

/// Those of this kind.
pub(crate) const ALL: &[&Specimen] = &[
    &early_answer::EARLY_ANSWER,
    &ignored_error::IGNORED_ERROR,
    &replayed_twice::REPLAYED_TWICE,
    &torn_record::TORN_RECORD,
    &unsynced_folder::UNSYNCED_FOLDER,
    &unsynced_rename::UNSYNCED_RENAME,
];
