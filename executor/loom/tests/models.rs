//! Each model, in all its orders.

use mainspring_executor_loom::models;

#[test]
fn a_push_meets_a_shard_that_goes_to_sleep() {
    models::a_push_meets_a_shard_that_goes_to_sleep();
}

#[test]
fn a_push_meets_a_close() {
    models::a_push_meets_a_close();
}

#[test]
fn what_was_changed_before_a_wake_is_seen_after_it() {
    models::what_was_changed_before_a_wake_is_seen_after_it();
}

#[test]
fn the_last_reference_to_a_task_frees_it() {
    models::the_last_reference_to_a_task_frees_it();
}

#[test]
fn a_clone_meets_the_end_of_the_owner() {
    models::a_clone_meets_the_end_of_the_owner();
}

#[test]
fn a_biased_count_gets_to_zero_once() {
    models::a_biased_count_gets_to_zero_once();
}
