//! Bugs between machines: streams, datagrams, pools, retries, leases, leaders.

mod accept_loop;
mod cached_failure;
mod cut_off_answer;
mod cut_transfer;
mod dead_connections;
mod deadline_chain;
mod drained_queue;
mod duplicate_datagram;
mod fast_failing;
mod half_close;
mod half_open_breaker;
mod half_upload;
mod heartbeat_behind;
mod hedged_request;
mod key_forgotten;
mod last_report;
mod lease;
pub(crate) mod line;
mod lost_job;
mod lost_write;
mod metastable;
mod mixed_up_answers;
mod name_stall;
mod pagination;
mod partial_write;
mod pool_slot;
mod register;
mod retried_order;
mod retry_after;
mod retry_layers;
mod reuse_race;
mod sequence_wrap;
mod silent_peer;
mod slow_reader;
mod stale_cache;
mod trouble;
mod two_in_one;
mod two_leaders;
mod whole_message;

use crate::Specimen;

/// Those of this kind.
pub(crate) const ALL: &[&Specimen] = &[
    &accept_loop::ACCEPT_LOOP,
    &cached_failure::CACHED_FAILURE,
    &cut_off_answer::CUT_OFF_ANSWER,
    &cut_transfer::CUT_TRANSFER,
    &dead_connections::DEAD_CONNECTIONS,
    &deadline_chain::DEADLINE_CHAIN,
    &drained_queue::DRAINED_QUEUE,
    &duplicate_datagram::DUPLICATE_DATAGRAM,
    &fast_failing::FAST_FAILING,
    &half_close::HALF_CLOSE,
    &half_open_breaker::HALF_OPEN_BREAKER,
    &half_upload::HALF_UPLOAD,
    &heartbeat_behind::HEARTBEAT_BEHIND,
    &hedged_request::HEDGED_REQUEST,
    &key_forgotten::KEY_FORGOTTEN,
    &last_report::LAST_REPORT,
    &lease::LEASE_FROM_ANSWER,
    &lease::LEASE_DRIFT,
    &lost_job::LOST_JOB,
    &lost_write::LOST_WRITE,
    &metastable::METASTABLE,
    &mixed_up_answers::MIXED_UP_ANSWERS,
    &name_stall::NAME_STALL,
    &pagination::PAGINATION,
    &partial_write::PARTIAL_WRITE,
    &pool_slot::POOL_SLOT,
    &register::STALE_REPLICA,
    &register::NEW_THEN_OLD,
    &retried_order::RETRIED_ORDER,
    &retry_after::RETRY_AFTER,
    &retry_layers::RETRY_LAYERS,
    &reuse_race::REUSE_RACE,
    &sequence_wrap::SEQUENCE_WRAP,
    &silent_peer::SILENT_PEER,
    &slow_reader::SLOW_READER,
    &stale_cache::STALE_CACHE,
    &two_in_one::TWO_IN_ONE,
    &two_leaders::TWO_LEADERS,
    &whole_message::WHOLE_MESSAGE,
];
