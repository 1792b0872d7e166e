//! The cases: one source, compiled into each peer's program.
//!
//! It knows no peer. A peer is the root of the crate, and brings, under the same names as all others:
//!
//! | name | what |
//! |---|---|
//! | `Runtime::new(variant)` | the runtime, with timers and sockets on, else as it comes |
//! | `Runtime::block_on(future)` | runs `future` as the peer runs a program's main future |
//! | `spawn`, `Join`, `join` | a task, its handle, and its output once it has ended |
//! | `sleep(duration)` | the peer's timer |
//! | `in_one_poll(future)` | the future, freed from any budget of operations a poll |
//! | `own_channel` | the peer's own bounded channel, or `IS_OWN = false` |
//! | `echo()` | a TCP echo server: prints its port, then serves until accepting fails |
//!
//! A program runs one case, says its figures in one line of JSON, and ends.

mod channels;
mod clock;
mod foreign_wake;
mod memory;
mod spawn_join;
mod timers;
mod yields;

use std::process::exit;

use clock::Samples;

use crate::usage::Usage;
use crate::{Runtime, echo, join, spawn};

/// Rows of the table by name, with their figures: nanoseconds an operation, unless the row says otherwise.
type Rows = Vec<(&'static str, Samples)>;

/// `VARIANT CASE SAMPLES`: which of the peer's runtimes, what to measure, how often.
pub fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [variant, case, samples] = &arguments[..] else {
        eprintln!("usage: VARIANT CASE SAMPLES");
        exit(2);
    };
    let samples = samples.parse().expect("SAMPLES is a number");
    if case == "echo" {
        let served = Runtime::new(variant).block_on(async { join(spawn(echo())).await });
        return served.expect("clients are accepted");
    }
    let usage = || Usage::of(std::process::id()).expect("the kernel counts");
    let before = usage();
    let rows = run_case(variant, case, samples);
    println!("{}", json(&rows, usage().since(before)));
    // What is left, such as a million tasks that wait for ever, is not worth taking down.
    exit(0);
}

fn run_case(variant: &str, case: &str, samples: usize) -> Rows {
    if case == "foreign_wake" {
        // Makes its runtime by itself: on the core that it has pinned itself to.
        return vec![("foreign_wake", foreign_wake::measure(variant, samples))];
    }
    let case = case.to_owned();
    // As a task like any other, on a thread that runs tasks: a multi-threaded peer's main future is neither.
    Runtime::new(variant).block_on(async move { join(spawn(rows_of(case, samples))).await })
}

async fn rows_of(case: String, samples: usize) -> Rows {
    match case.as_str() {
        "spawn_join" => vec![("spawn_join", spawn_join::measure(samples).await)],
        "yield_1" => vec![("yield_1", yields::measure(1, 10_000, samples).await)],
        "yield_1000" => vec![("yield_1000", yields::measure(1000, 100, samples).await)],
        "pingpong" => vec![("pingpong", channels::third::ping_pong(samples).await)],
        "channel_1024" => vec![("channel_1024", channels::third::stream(samples).await)],
        // The table has a dash where there is nothing to measure.
        "pingpong_own" | "channel_1024_own" if !channels::HAS_OWN => Vec::new(),
        "pingpong_own" => vec![("pingpong_own", channels::own::ping_pong(samples).await)],
        "channel_1024_own" => vec![("channel_1024_own", channels::own::stream(samples).await)],
        "timer_churn" => vec![("timer_churn", timers::churn(samples).await)],
        "timers" => {
            let (created, cancelled) = timers::create_and_cancel().await;
            vec![("timer_create", created), ("timer_cancel", cancelled)]
        }
        "memory" => {
            let (bytes, allocations) = memory::measure().await;
            vec![("task_bytes", bytes), ("task_allocations", allocations)]
        }
        unknown => panic!("there is no case {unknown}"),
    }
}

fn json(rows: &Rows, usage: Usage) -> String {
    let row = |(name, samples): &(&str, Samples)| {
        let Samples { figures, operations } = samples;
        format!("\"{name}\": {{\"samples\": {figures:?}, \"operations\": {operations}}}")
    };
    let rows = rows.iter().map(row).collect::<Vec<_>>().join(", ");
    let Usage { ran, waited } = usage;
    format!("{{\"rows\": {{{rows}}}, \"ran_ns\": {ran}, \"waited_ns\": {waited}}}")
}
