//! Jobs: work that would block a shard. Each waits for one of the host's threads, takes its time on it, and is done at the
//! virtual instant at which it ends, against the files of then.
//!
//! Invariant: a job that a thread has begun ends, and has its effect, whether its token is still open or not; one that
//! waits goes when its token is closed. A crash takes both.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use mainspring_executor::driver::{
    Call, Ended, Exhausted, Instant, Job, Lane, OpenedFile, Outcome, Ready, Refused, Spawn, Token,
};

use crate::choice::{Label, Span};
use crate::config::WorldConfig;
use crate::event::{Event, ShardId};
use crate::files::Node;
use crate::power::LifeNumber;
use crate::process::Started;
use crate::room::{Room, Step};
use crate::tokens::{Handle, Place, Resource};
use crate::trace::Kind;

/// Where a job stands, as far as its token knows.
#[derive(Debug)]
pub(crate) enum JobState {
    /// With the ticket by which it can be taken back.
    Waiting(Lane, u64),
    Running,
    Over(Over),
}

/// A job that has ended.
#[derive(Debug)]
pub(crate) struct Over {
    result: io::Result<Finished>,
    waited: Duration,
    ran: Duration,
}

/// What is left of a job that nobody waits for: to be dropped with nothing borrowed, for it may hold or have given
/// anything.
#[derive(Debug)]
#[expect(dead_code, reason = "it is only dropped")]
pub(crate) enum Left {
    /// It did not begin.
    Work(Work),
    Over(Over),
}

/// What a job gave, before it has tokens of its own.
#[derive(Debug)]
pub(crate) enum Finished {
    Opened(Node),
    Spawned(Started),
    /// All that needs no token.
    Plain(Outcome),
}

/// A job with what it needs.
#[derive(Debug)]
pub(crate) struct Work {
    job: Job,
    /// The file that the job's token names: closing that does not take it from a job under way.
    node: Option<Node>,
}

/// The jobs of a host: of all its shards, for they share its threads.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    lanes: [LaneQueue; Lane::ALL.len()],
    running: BTreeMap<Handle, Running>,
}

#[derive(Debug, Default)]
struct LaneQueue {
    /// By ticket, which is the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    tickets: u64,
    running_count: usize,
}

impl LaneQueue {
    /// How many jobs of a shard wait.
    fn waiting_of(&self, shard: ShardId) -> usize {
        self.waiting.values().filter(|waiting| waiting.handle.shard == shard).count()
    }
}

#[derive(Debug)]
struct Waiting {
    handle: Handle,
    work: Work,
    since: Instant,
}

#[derive(Debug)]
struct Running {
    work: Work,
    /// Of the shard, when it began.
    life: LifeNumber,
    waited: Duration,
    since: Instant,
}

/// A closure whose instant has come. The world runs it: here everything is borrowed.
#[derive(Debug)]
pub(crate) struct DueCall {
    handle: Handle,
    call: Call,
    /// Its program was killed meanwhile: there is no thread any more that could run it.
    is_dead: bool,
    waited: Duration,
    ran: Duration,
}

impl DueCall {
    /// Whose program it is of.
    pub(crate) fn shard(&self) -> ShardId {
        self.handle.shard
    }

    /// Runs the closure, or drops it where nobody can.
    pub(crate) fn run(self) -> Option<(Handle, Over)> {
        let Self { handle, call, is_dead, waited, ran } = self;
        if is_dead {
            return None;
        }
        let result = Ok(Finished::Plain(Outcome::Returned(call.run())));
        Some((handle, Over { result, waited, ran }))
    }
}

/// A child whose instant has come. The world makes its shard.
#[derive(Debug)]
pub(crate) struct DueSpawn {
    pub(crate) handle: Handle,
    pub(crate) spawn: Box<Spawn>,
    waited: Duration,
    ran: Duration,
}

impl DueSpawn {
    /// What is told of it.
    pub(crate) fn over(&self, result: io::Result<Started>) -> Over {
        let result = result.map(Finished::Spawned);
        Over { result, waited: self.waited, ran: self.ran }
    }
}

fn threads_max(config: &WorldConfig, lane: Lane) -> usize {
    match lane {
        Lane::Blocking => config.blocking_threads_max,
        Lane::Compute => config.compute_threads_max,
        Lane::Names => config.name_threads_max,
    }
}

/// Submitting.
impl Room {
    pub(crate) fn submit(&mut self, shard: ShardId, job: Job) -> Result<Token, Refused> {
        let lane = job.lane();
        let queue = &self.machine(self.host_of(shard)).jobs.lanes[lane as usize];
        let has_thread = queue.running_count < threads_max(&self.config, lane);
        if !has_thread && queue.waiting_of(shard) >= self.config.jobs_waiting_max {
            self.note(shard, Kind::Refuse, lane as u64, 0);
            return Err(Refused { job, error: Exhausted.into() });
        }
        let node = self.file_of(shard, &job);
        let work = Work { job, node };
        let state = self.shard_mut(shard);
        state.jobs_open += 1;
        let token = state.table.insert(Place::new(Resource::Job(JobState::Running)));
        self.note(shard, Kind::Submit, token.to_bits(), lane as u64);
        let handle = Handle { shard, token };
        match has_thread {
            true => self.begin(handle, work, self.now),
            false => self.let_wait(handle, work),
        }
        Ok(token)
    }

    fn jobs(&mut self, shard: ShardId) -> &mut Jobs {
        let host = self.host_of(shard);
        &mut self.machine_mut(host).jobs
    }

    /// The file that a job is about, where it says so by a token.
    fn file_of(&self, shard: ShardId, job: &Job) -> Option<Node> {
        let token = job.file()?;
        match self.resource(shard, token) {
            Resource::File(node) => Some(node.clone()),
            other => panic!("{token:?} is used as a file, but it is a {}", other.name()),
        }
    }

    fn let_wait(&mut self, handle: Handle, work: Work) {
        let (lane, since) = (work.job.lane(), self.now);
        let queue = &mut self.jobs(handle.shard).lanes[lane as usize];
        let ticket = queue.tickets;
        queue.tickets += 1;
        queue.waiting.insert(ticket, Waiting { handle, work, since });
        let waiting = Resource::Job(JobState::Waiting(lane, ticket));
        *self.resource_mut(handle.shard, handle.token) = waiting;
    }

    /// A thread that is free begins a job that was asked for at an instant, or soon will have been: by a shard that is ahead.
    fn begin(&mut self, handle: Handle, work: Work, asked: Instant) {
        let Handle { shard, token } = handle;
        let lane = work.job.lane();
        let span = Span::from(match lane {
            Lane::Names => &self.config.name_duration,
            Lane::Blocking | Lane::Compute => &self.config.job_duration,
        });
        let since = self.now.max(asked);
        let end = since + self.choices.duration(shard, Label::Job, span);
        self.schedule(end, Event::Job(shard, token));
        let (waited, life) = (since - asked, self.shard(shard).life);
        let jobs = self.jobs(shard);
        jobs.lanes[lane as usize].running_count += 1;
        let before = jobs.running.insert(handle, Running { work, life, waited, since });
        assert!(before.is_none(), "a token is given out once");
    }

    /// Takes a job back whose token is closed while it waits, and what it gave if it is over. A child that it has started
    /// is killed.
    pub(crate) fn job_closed(&mut self, shard: ShardId, state: JobState) -> Option<Left> {
        self.shard_mut(shard).jobs_open -= 1;
        match state {
            JobState::Waiting(lane, ticket) => {
                let waiting = self.jobs(shard).lanes[lane as usize].waiting.remove(&ticket);
                Some(Left::Work(waiting.expect("a job waits until it begins").work))
            }
            JobState::Running => None,
            JobState::Over(over) => self.unwanted(over),
        }
    }

    /// Nobody wants what a job gave.
    fn unwanted(&mut self, over: Over) -> Option<Left> {
        match over.result {
            Ok(Finished::Spawned(started)) => {
                self.abandon(started);
                None
            }
            _ => Some(Left::Over(over)),
        }
    }
}

/// Ending.
impl Room {
    /// The instant of a job has come; its token may be closed by now. Its thread goes on with the next.
    pub(crate) fn job_due(&mut self, handle: Handle) -> Step {
        let now = self.now;
        let jobs = self.jobs(handle.shard);
        // It went with a crash of its machine.
        let Some(running) = jobs.running.remove(&handle) else { return Step::Happened };
        self.note(handle.shard, Kind::JobDone, handle.token.to_bits(), 0);
        let Running { work, life, waited, since } = running;
        let jobs = self.jobs(handle.shard);
        let queue = &mut jobs.lanes[work.job.lane() as usize];
        queue.running_count -= 1;
        if let Some((_, next)) = queue.waiting.pop_first() {
            let Handle { shard, token } = next.handle;
            *self.resource_mut(shard, token) = Resource::Job(JobState::Running);
            self.begin(next.handle, next.work, next.since);
        }
        let is_dead = self.is_dead(handle.shard) || life < self.shard(handle.shard).life;
        let ran = now - since;
        match work {
            Work { job: Job::Call { call, .. }, .. } => {
                Step::Call(DueCall { handle, call, is_dead, waited, ran })
            }
            _ if is_dead => Step::Happened,
            Work { job: Job::Spawn { spawn }, .. } => {
                Step::Spawn(DueSpawn { handle, spawn, waited, ran })
            }
            work => {
                let result = self.perform(handle.shard, work);
                let left = self.job_ended(handle, Over { result, waited, ran });
                // Of files and bytes only: nothing foreign is dropped here.
                drop(left);
                Step::Happened
            }
        }
    }

    fn perform(&mut self, shard: ShardId, work: Work) -> io::Result<Finished> {
        match work {
            Work { job, node: Some(node) } => {
                self.do_on_file(shard, &node, job).map(Finished::Plain)
            }
            Work { job: Job::Resolve { name }, .. } => {
                let addresses = self.resolve(shard, &name)?;
                Ok(Finished::Plain(Outcome::Addresses(addresses)))
            }
            Work { job, node: None } => self.do_on_paths(shard, job),
        }
    }

    /// A job has ended. Gives back what it gave where nobody waits for it, to be dropped with nothing borrowed.
    pub(crate) fn job_ended(&mut self, handle: Handle, over: Over) -> Option<Left> {
        let Handle { shard, token } = handle;
        if self.shard(shard).table.try_get(token).is_none() {
            return self.unwanted(over);
        }
        let Resource::Job(state) = self.resource_mut(shard, token) else {
            panic!("{token:?} was a job when it started")
        };
        assert!(matches!(state, JobState::Running), "a job ends once");
        *state = JobState::Over(over);
        self.raise(handle, Ready::READABLE);
        None
    }

    pub(crate) fn collect(&mut self, shard: ShardId, token: Token) -> io::Result<Ended> {
        let is_over = match self.resource(shard, token) {
            Resource::Job(state) => matches!(state, JobState::Over(_)),
            other => panic!("{token:?} is collected as a job, but it is a {}", other.name()),
        };
        self.note(shard, Kind::Collect, token.to_bits(), u64::from(!is_over));
        if !is_over {
            return Err(ErrorKind::WouldBlock.into());
        }
        let state = self.shard_mut(shard);
        state.jobs_open -= 1;
        let place = state.table.remove(token);
        let Resource::Job(JobState::Over(over)) = place.resource else {
            unreachable!("looked at it just now")
        };
        let outcome = over.result.and_then(|finished| self.hand_over(shard, finished));
        Ok(Ended { outcome, waited: over.waited, ran: over.ran })
    }

    /// Gives tokens to what a job opened.
    fn hand_over(&mut self, shard: ShardId, finished: Finished) -> io::Result<Outcome> {
        match finished {
            Finished::Plain(outcome) => Ok(outcome),
            Finished::Spawned(started) => Ok(Outcome::Spawned(self.open_process(shard, started)?)),
            Finished::Opened(node) => {
                let metadata = node.metadata();
                let token = self.open_token(shard, Resource::File(node))?;
                Ok(Outcome::Opened(OpenedFile { token, metadata }))
            }
        }
    }
}
