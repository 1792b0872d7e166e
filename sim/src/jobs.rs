//! Jobs: work that would block a shard. It runs at the virtual instant at which it ends, against the files of then.

use std::io::{self, ErrorKind};

use mainspring_executor::driver::{Exhausted, Job, OpenedFile, Outcome, Ready, Token};

use crate::choice::{Label, Span};
use crate::event::{Event, HostId};
use crate::files::{File, Node};
use crate::room::{Place, Resource, Room};
use crate::trace::Kind;

/// Where a job stands.
#[derive(Debug)]
pub(crate) enum JobState {
    Running(Work),
    Ended(Result<Ended, ErrorKind>),
}

/// A job with what it holds.
#[derive(Debug)]
pub(crate) enum Work {
    Open {
        root: std::path::PathBuf,
        path: std::path::PathBuf,
    },
    /// The file itself, not its token: closing that does not take the file from a read that runs.
    ReadAt {
        node: Node,
        offset: u64,
        length: usize,
    },
}

/// What a job gave.
#[derive(Debug)]
pub(crate) enum Ended {
    Opened(Node),
    Bytes(Vec<u8>),
}

impl Room {
    pub(crate) fn submit(&mut self, host: HostId, job: Job) -> io::Result<Token> {
        if self.machine(host).jobs_running >= self.config.jobs_max {
            return Err(Exhausted.into());
        }
        let work = match job {
            Job::Open { root, path } => Work::Open { root, path },
            Job::ReadAt { file, offset, length } => {
                match &self.machine(host).table.get(file).resource {
                    Resource::File(node) => Work::ReadAt { node: node.clone(), offset, length },
                    other => panic!("{file:?} is read as a file, but it is a {}", other.name()),
                }
            }
        };
        let job = Place::new(Resource::Job(JobState::Running(work)));
        let token = self.machine_mut(host).table.insert(job);
        let span = Span::from(&self.config.job_duration);
        let end = self.now + self.choices.duration(host, Label::Job, span);
        let machine = self.machine_mut(host);
        machine.jobs_running += 1;
        machine.jobs_open += 1;
        self.events.push(end, Event::Job(host, token));
        self.note(host, Kind::Submit, token.to_bits(), 0);
        Ok(token)
    }

    /// A job has ended; its token may be closed by now.
    pub(crate) fn job_ended(&mut self, host: HostId, token: Token) {
        self.note(host, Kind::JobDone, token.to_bits(), 0);
        let machine = self.machine_mut(host);
        machine.jobs_running -= 1;
        if machine.table.try_get(token).is_none() {
            return;
        }
        let Resource::Job(state) = &mut machine.table.get_mut(token).resource else {
            panic!("{token:?} was a job when it started")
        };
        let JobState::Running(work) = state else { panic!("a job ends once") };
        let ended = match work {
            Work::Open { root, path } => machine.files.open(root, path).map(Ended::Opened),
            Work::ReadAt { node: Node::File(file), offset, length } => {
                Ok(Ended::Bytes(read_at(file, *offset, *length)))
            }
            Work::ReadAt { node: Node::Folder, .. } => Err(ErrorKind::IsADirectory),
        };
        *state = JobState::Ended(ended);
        self.raise(host, token, Ready::READABLE);
    }

    pub(crate) fn collect(&mut self, host: HostId, token: Token) -> io::Result<Outcome> {
        let collected = self.try_collect(host, token);
        self.note(host, Kind::Collect, token.to_bits(), u64::from(collected.is_err()));
        collected
    }

    fn try_collect(&mut self, host: HostId, token: Token) -> io::Result<Outcome> {
        let place = self.machine_mut(host).table.get(token);
        match &place.resource {
            Resource::Job(JobState::Running(_)) => return Err(ErrorKind::WouldBlock.into()),
            Resource::Job(JobState::Ended(_)) => {}
            other => panic!("{token:?} is collected as a job, but it is a {}", other.name()),
        }
        let machine = self.machine_mut(host);
        machine.jobs_open -= 1;
        let place = machine.table.remove(token);
        let Resource::Job(JobState::Ended(ended)) = place.resource else {
            unreachable!("looked at it just now")
        };
        match ended? {
            Ended::Bytes(bytes) => Ok(Outcome::Bytes(bytes)),
            Ended::Opened(node) => {
                let (is_folder, length, modified) = match &node {
                    Node::File(file) => (false, file.bytes.len() as u64, file.modified),
                    Node::Folder => (true, 0, core::time::Duration::ZERO),
                };
                let token = self.open_token(host, Resource::File(node))?;
                Ok(Outcome::Opened(OpenedFile { token, is_folder, length, modified }))
            }
        }
    }
}

/// Up to `length` bytes from `offset` on; none past the end.
fn read_at(file: &File, offset: u64, length: usize) -> Vec<u8> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.bytes.len());
    let end = start.saturating_add(length).min(file.bytes.len());
    file.bytes[start..end].to_vec()
}
