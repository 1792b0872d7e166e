//! Child processes: programs that other programs of a machine have started. Each is a shard of its own, on the machine of
//! its parent, with its own tokens, its own signals and its own death.
//!
//! ```text
//!   started ── its program returns, panics, or a signal kills it ──► ended ── its tasks are dropped ──► buried
//!                                                                             its parent is told, if it still asks
//! ```
//!
//! Invariant: a process that has ended does nothing any more; its parent is told when what it held is closed.

use core::cell::RefCell;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mainspring_executor::driver::{
    Detached, ExitStatus, Ready, Signal, Spawn, Spawned, Stdio, Token,
};

use crate::event::{ConnectionId, HostId, ShardId};
use crate::jobs::Left;
use crate::net::Side;
use crate::power::LifeNumber;
use crate::program::{Program, Setting};
use crate::room::Room;
use crate::tokens::{Handle, Resource, Socket};
use crate::trace::Kind;

/// SIGKILL, as POSIX numbers it.
const SIGKILL: i32 = 9;

/// What a program that panics exits with, as one of Rust does.
const PANIC_CODE: i32 = 101;

/// The number of the first process of a room; smaller ones are for those that a machine starts with.
const FIRST_ID: u32 = 1000;

/// A child, by its place in the room. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(u32);

impl ProcessId {
    const fn index(self) -> usize {
        self.0 as usize
    }

    const fn number(self) -> u32 {
        FIRST_ID + self.0
    }
}

/// A program that another one has started.
#[derive(Debug)]
pub(crate) struct Process {
    shard: ShardId,
    setting: Setting,
    /// Who is told of its end. `None`: nobody as yet, or nobody any more.
    parent: Option<Handle>,
    status: Option<ExitStatus>,
    is_buried: bool,
}

/// A child that nobody has a token for as yet, with the parent's ends of its pipes.
#[derive(Debug)]
pub(crate) struct Started {
    process: ProcessId,
    pipes: [Option<(ConnectionId, Side)>; 3],
}

/// A child whose shard is still to be made.
pub(crate) struct Starting {
    pub(crate) started: Started,
    pub(crate) shard: ShardId,
    pub(crate) program: Program,
    pub(crate) setting: Setting,
    pub(crate) pipes: [Option<Detached>; 3],
}

impl Started {
    pub(crate) const fn number(&self) -> u32 {
        self.process.number()
    }

    pub(crate) const fn process(&self) -> ProcessId {
        self.process
    }
}

/// Starting.
impl Room {
    /// Makes a process with its pipes, for the world to give it a shard.
    pub(crate) fn start_process(&mut self, parent: ShardId, spawn: Spawn) -> io::Result<Starting> {
        let program = Rc::clone(self.programs.find(&spawn.program)?);
        let stdio = [spawn.stdin, spawn.stdout, spawn.stderr];
        let setting = self.setting(parent, spawn)?;
        let number = u32::try_from(self.processes.len()).expect("fewer than 2^32 processes");
        let process = ProcessId(number);
        let host = self.host_of(parent);
        let shard = self.add_process_shard(host, process, process.number());
        let mut pipes = [None; 3];
        let mut far_ends = [None, None, None];
        for at in 0..stdio.len() {
            if stdio[at] == Stdio::Piped {
                let id = self.pipe(host);
                pipes[at] = Some((id, Side::Client));
                far_ends[at] = Some(self.let_go(host, Socket::Connection(id, Side::Server)));
            }
        }
        self.processes.push(Process {
            shard,
            setting: setting.clone(),
            parent: None,
            status: None,
            is_buried: false,
        });
        self.note(shard, Kind::ProcessStarted, u64::from(process.number()), 0);
        let started = Started { process, pipes };
        Ok(Starting { started, shard, program, setting, pipes: far_ends })
    }

    /// What a child is given, and what it has from its parent.
    fn setting(&self, parent: ShardId, spawn: Spawn) -> io::Result<Setting> {
        let of_parent = match self.shard(parent).process {
            Some(process) => self.processes[process.index()].setting.clone(),
            None => Setting { current_dir: PathBuf::from("/"), ..Setting::default() },
        };
        let mut current_dir = of_parent.current_dir;
        if let Some(folder) = spawn.current_dir {
            current_dir.push(folder);
            self.check_folder(parent, &current_dir)?;
        }
        let mut env = if spawn.is_env_cleared { Default::default() } else { of_parent.env };
        for (name, value) in spawn.env {
            match value {
                Some(value) => env.insert(name, value),
                None => env.remove(&name),
            };
        }
        Ok(Setting { program: spawn.program, args: spawn.args, env, current_dir })
    }

    fn check_folder(&self, shard: ShardId, folder: &Path) -> io::Result<()> {
        let is_root = folder.parent().is_none();
        if !is_root {
            let files = &self.machine(self.host_of(shard)).files;
            files.at(folder)?.check_folder()?;
        }
        Ok(())
    }

    /// Gives tokens to the parent of a child.
    pub(crate) fn open_process(&mut self, shard: ShardId, started: Started) -> io::Result<Spawned> {
        let count = 1 + started.pipes.iter().flatten().count();
        if let Err(error) = self.check_token_limit(shard, count) {
            self.abandon(started);
            return Err(error);
        }
        let Started { process, pipes } = started;
        let token = self.open_token(shard, Resource::Process(process))?;
        let parent = Handle { shard, token };
        let child = &mut self.processes[process.index()];
        child.parent = Some(parent);
        if child.is_buried {
            self.raise(parent, Ready::READABLE);
        }
        let mut tokens = [None; 3];
        for (number, end) in pipes.into_iter().enumerate() {
            if let Some((id, side)) = end {
                tokens[number] = Some(self.take_in(shard, Socket::Connection(id, side)));
            }
        }
        let [stdin, stdout, stderr] = tokens;
        Ok(Spawned { process: token, id: process.number(), stdin, stdout, stderr })
    }

    /// Nobody wants a child that was just started: it is killed, and the ends of its pipes are closed.
    pub(crate) fn abandon(&mut self, started: Started) {
        for (id, side) in started.pipes.into_iter().flatten() {
            self.close_socket(Socket::Connection(id, side), false);
        }
        self.end_process(started.process, ExitStatus::Signaled(SIGKILL));
    }
}

/// Ending.
impl Room {
    /// A process ends, unless it has already.
    pub(crate) fn end_process(&mut self, process: ProcessId, status: ExitStatus) {
        let child = &mut self.processes[process.index()];
        if child.status.is_some() {
            return;
        }
        child.status = Some(status);
        let shard = child.shard;
        let (kind, number) = match status {
            ExitStatus::Exited(code) => (Kind::ProcessExits, code),
            ExitStatus::Signaled(number) => (Kind::ProcessKilled, number),
        };
        self.note(shard, kind, number.unsigned_abs().into(), 0);
        self.want_nothing(shard);
        self.end_life(shard);
    }

    /// The tasks of a shard's life that ends are gone, and with them what they held. What nobody drops any more, for it was
    /// forgotten, the kernel closes.
    pub(crate) fn shard_buried(&mut self, shard: ShardId, life: LifeNumber) -> Vec<Left> {
        let state = self.shard_mut(shard);
        // From now on its driver asks in vain.
        state.cut = state.cut.max(life + 1);
        let tokens: Vec<_> = state.table.iter().map(|(token, _)| token).collect();
        let forgotten = tokens.into_iter().filter_map(|token| self.close(shard, token, false));
        let forgotten = forgotten.collect();
        self.tell_of_burial(shard);
        forgotten
    }

    fn tell_of_burial(&mut self, shard: ShardId) {
        let Some(process) = self.shard(shard).process else {
            self.rise(self.host_of(shard));
            return;
        };
        let child = &mut self.processes[process.index()];
        child.is_buried = true;
        if let Some(parent) = child.parent {
            self.raise(parent, Ready::READABLE);
        }
    }

    /// Whether the program of a shard has ended, or was killed.
    pub(crate) fn is_dead(&self, shard: ShardId) -> bool {
        match self.shard(shard).process {
            Some(process) => self.processes[process.index()].status.is_some(),
            None => self.machine(self.host_of(shard)).condition.is_over(),
        }
    }

    /// Whether a shard is that of a process whose tasks are gone.
    pub(crate) fn is_buried(&self, shard: ShardId) -> bool {
        let process = self.shard(shard).process;
        process.is_some_and(|process| self.processes[process.index()].is_buried)
    }

    /// A crash ends all processes of a machine, and nobody is left who would be told.
    pub(crate) fn lose_processes(&mut self, host: HostId) {
        for index in 0..self.processes.len() {
            if self.host_of(self.processes[index].shard) == host {
                let process = &mut self.processes[index];
                process.parent = None;
                process.status.get_or_insert(ExitStatus::Signaled(SIGKILL));
            }
        }
    }

    /// Whether a signal has killed the program of a shard: it does nothing about what it held.
    fn is_killed(&self, shard: ShardId) -> bool {
        match self.shard(shard).process {
            Some(process) => {
                let status = self.processes[process.index()].status;
                matches!(status, Some(ExitStatus::Signaled(_)))
            }
            None => self.machine(self.host_of(shard)).condition.is_killed(),
        }
    }

    /// A parent closes the token of a child. One that returns kills it then, as it would before. One that was killed itself
    /// kills nobody: its children go on without it.
    pub(crate) fn close_process(&mut self, shard: ShardId, process: ProcessId) {
        self.processes[process.index()].parent = None;
        if !self.is_killed(shard) {
            self.end_process(process, ExitStatus::Signaled(SIGKILL));
        }
    }

    pub(crate) fn process_exit(&mut self, shard: ShardId, token: Token) -> io::Result<ExitStatus> {
        let child = &self.processes[self.child(shard, token).index()];
        let status = child.status.filter(|_| child.is_buried);
        self.note(shard, Kind::ProcessExit, token.to_bits(), u64::from(status.is_none()));
        if status.is_none() {
            self.perhaps_spurious(shard, token, Ready::READABLE);
        }
        status.ok_or(ErrorKind::WouldBlock.into())
    }

    pub(crate) fn signal_process(&mut self, shard: ShardId, token: Token, signal: Option<Signal>) {
        let process = self.child(shard, token);
        let number = signal.map_or(SIGKILL, number);
        self.note(shard, Kind::SignalProcess, token.to_bits(), number.unsigned_abs().into());
        let child = &self.processes[process.index()];
        if child.status.is_some() {
            return;
        }
        let child_shard = child.shard;
        let is_told = signal.is_some_and(|signal| self.tell_shards(&[child_shard], signal));
        if !is_told {
            self.end_process(process, ExitStatus::Signaled(number));
        }
    }

    fn child(&self, shard: ShardId, token: Token) -> ProcessId {
        match self.resource(shard, token) {
            Resource::Process(process) => *process,
            other => panic!("{token:?} is used as a child, but it is a {}", other.name()),
        }
    }

    /// The numbers of the processes of a machine that have not ended.
    pub(crate) fn running_processes(&self, shard: ShardId) -> Vec<u32> {
        let host = self.host_of(shard);
        let all = self.processes.iter().zip(0..);
        let is_running = |child: &Process| !child.is_buried && self.host_of(child.shard) == host;
        let running = all.filter(|(child, _)| is_running(child));
        running.map(|(_, place)| ProcessId(place).number()).collect()
    }
}

/// As Linux numbers it on most machines, and POSIX the first three.
const fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Hangup => 1,
        Signal::Interrupt => 2,
        Signal::User1 => 10,
        Signal::User2 => 12,
        Signal::Terminate => 15,
    }
}

/// Lies in the main task of a process, and tells when that ends: by its code, or by a panic.
pub(crate) struct Ending {
    room: Rc<RefCell<Room>>,
    process: ProcessId,
    code: Option<i32>,
}

impl Ending {
    pub(crate) fn new(room: &Rc<RefCell<Room>>, process: ProcessId) -> Self {
        Self { room: Rc::clone(room), process, code: None }
    }

    /// The program has returned. A machine keeps eight bits of its code.
    pub(crate) fn exits(mut self, code: i32) {
        self.code = Some(code & 0xff);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let status = ExitStatus::Exited(self.code.unwrap_or(PANIC_CODE));
        // One that was killed has ended already.
        self.room.borrow_mut().end_process(self.process, status);
    }
}
