//! `Fairness`: how long those who could have gone on had to wait: ready tasks for their turn, and who stood in line for what.
//!
//! It judges nothing. Where tasks are drawn any wait has some probability, and priorities let tasks wait on purpose, so what is too
//! long is for the scenario to say.

use core::fmt;
use core::panic::Location;
use core::time::Duration;

use mainspring_executor::driver::TaskId;
use mainspring_executor::{Awaited, TaskDump, TaskState};

use crate::host::Host;
use crate::ready_waits::{Pick, ReadyWaits};

/// The longest waits of a run so far, for assertions. See [`World::fairness`](crate::World::fairness).
///
/// ```
/// # use core::time::Duration;
/// # use mainspring_sim::{World, WorldConfig};
/// # let world = World::new(1, WorldConfig::calm());
/// # world.host("server").run(async {});
/// world.run().expect("it ends well");
/// let fairness = world.fairness();
/// assert!(fairness.longest_ready.is_none_or(|wait| wait.time < Duration::from_millis(250)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fairness {
    /// The task that was ready for the longest time before it was polled, or is so still. Time passes for ready tasks where polls
    /// [`spend`](crate::spend) it, and where the program is paused.
    pub longest_ready: Option<ReadyWait>,
    /// The task that most polls of others went before, from when it was ready until it was polled.
    pub most_passed_over: Option<ReadyWait>,
    /// The longest that anybody stood in line for a lock, for permits, for room in a channel, for a notification: the longest for
    /// each of these on each shard. Those that nobody has served yet count as well, where somebody holds what they wait for.
    pub line_waits: Vec<LineWait>,
}

impl Fairness {
    /// The longest time in line for one kind of thing, on any host: `"a lock"`, `"a read lock"`, `"a write lock"`, `"permits"`,
    /// `"room in a channel"`, `"a notification"`. `None` where nobody waited for it.
    #[must_use]
    pub fn longest_in_line(&self, what: &str) -> Option<&LineWait> {
        let of_kind = self.line_waits.iter().filter(|wait| wait.what == what);
        of_kind.max_by_key(|wait| wait.time)
    }
}

/// How they are gathered.
impl Fairness {
    /// Adds a shard, whose picks have shown `waits`.
    pub(crate) fn add(&mut self, host: &Host, waits: &ReadyWaits) {
        let dump = host.seat.shard().dump();
        self.add_ready_waits(host.name(), waits, &dump);
        self.add_served(host);
        self.add_waiting(host.name(), &dump);
    }

    fn add_ready_waits(&mut self, host: &str, waits: &ReadyWaits, dump: &TaskDump) {
        let told = |pick: Option<Pick>| pick.map(|pick| ReadyWait::of(host, pick));
        let still = dump.tasks.iter().filter_map(|task| {
            let TaskState::Ready { since: began } = task.state else { return None };
            let (host, time) = (host.to_owned(), dump.at - began);
            Some(ReadyWait { host, task: task.id, origin: task.origin, polls: None, time })
        });
        let ready = self.longest_ready.take().into_iter();
        let ready = ready.chain(told(waits.longest)).chain(still);
        self.longest_ready = ready.max_by_key(|wait| wait.time);
        let passed = self.most_passed_over.take().into_iter();
        let passed = passed.chain(told(waits.most_passed_over));
        self.most_passed_over = passed.max_by_key(|wait| wait.polls);
    }

    fn add_served(&mut self, host: &Host) {
        let served = host.seat.shard().longest_waits().into_iter().map(|wait| LineWait {
            host: host.name().to_owned(),
            what: wait.what,
            task: wait.task,
            origin: wait.origin,
            time: wait.duration,
            is_over: true,
        });
        self.line_waits.extend(served);
    }

    fn add_waiting(&mut self, host: &str, dump: &TaskDump) {
        for task in &dump.tasks {
            for wait in &task.waits {
                let Awaited::Resource { id, what, origin } = wait.on else { continue };
                // A message may be long in coming. What somebody holds is to be let go.
                if dump.holders(id).next().is_some() {
                    let (host, time) = (host.to_owned(), dump.at - wait.since);
                    let task = Some(task.id);
                    let waits = LineWait { host, what, task, origin, time, is_over: false };
                    self.line_waits.push(waits);
                }
            }
        }
    }
}

/// How long a task was ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyWait {
    /// The name of its host.
    pub host: String,
    /// Which.
    pub task: TaskId,
    /// Where it was spawned.
    pub origin: &'static Location<'static>,
    /// Polls of other tasks of its shard meanwhile; `None` of one that is ready still.
    pub polls: Option<u64>,
    /// Time, by its own clock, from the turn in which it became ready.
    pub time: Duration,
}

impl ReadyWait {
    fn of(host: &str, pick: Pick) -> Self {
        let Pick { task, origin, polls, time } = pick;
        Self { host: host.to_owned(), task, origin, polls: Some(polls), time }
    }
}

impl fmt::Display for ReadyWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, task, origin, polls, time } = self;
        write!(f, "{host}: {task}, spawned at {origin}, was ready for {time:?}")?;
        match polls {
            Some(polls) => write!(f, " and {polls} polls of others"),
            None => write!(f, ", and is so still"),
        }
    }
}

/// How long somebody stood in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineWait {
    /// The name of its host.
    pub host: String,
    /// What for, in words.
    pub what: &'static str,
    /// Who. `None` outside of tasks.
    pub task: Option<TaskId>,
    /// Where it asked.
    pub origin: &'static Location<'static>,
    /// For how long, by its own clock.
    pub time: Duration,
    /// Whether it was served in the end; else it waits still.
    pub is_over: bool,
}

impl fmt::Display for LineWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, what, task, origin, time, is_over } = self;
        let verb = if *is_over { "waited" } else { "waits" };
        write!(f, "{host}: ")?;
        match task {
            Some(task) => write!(f, "{task} ")?,
            None => write!(f, "somebody outside of tasks ")?,
        }
        write!(f, "{verb} {time:?} for {what}, at {origin}")
    }
}
