//! `JobFuture`: a job on its way through the driver: in line, under way, over.

use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::rc::Rc;

use super::Line;
use super::metrics::LaneMetrics;
use crate::driver::{Exhausted, Job, Lane, Outcome, Ready, Refused};
use crate::net::Socket;
use crate::reactor::{Interest, Kind};
use crate::shard::Core;

/// A job from its making to its outcome. Dropped half way, it takes the job back or tells the driver to throw the outcome
/// away.
pub(crate) struct JobFuture {
    core: Rc<Core>,
    lane: Lane,
    is_patient: bool,
    state: State,
    origin: &'static Location<'static>,
}

enum State {
    /// Not taken by the driver as yet. With the place in line, for one who is in it.
    New(Job, Option<u64>),
    UnderWay(Socket),
    /// Also while it changes from one to the other.
    Over,
}

impl JobFuture {
    pub(crate) fn new(core: Rc<Core>, job: Job, origin: &'static Location<'static>) -> Self {
        let lane = job.lane();
        Self { core, lane, is_patient: false, state: State::New(job, None), origin }
    }

    /// See [`Offloaded::patient`](super::Offloaded::patient).
    pub(crate) fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    fn line(&self) -> &Line {
        self.core.offload.line(self.lane)
    }

    fn metrics(&self) -> &LaneMetrics {
        self.core.offload.metrics.lane(self.lane)
    }

    /// Submits, or waits in line.
    fn poll_submit(&mut self, cx: &Context<'_>) -> Poll<io::Result<Socket>> {
        let State::New(job, place) = core::mem::replace(&mut self.state, State::Over) else {
            unreachable!("a job is submitted while it is new")
        };
        let Refused { job, error } = match self.try_submit(job, place) {
            Ok(socket) => return Poll::Ready(Ok(socket)),
            Err(refused) => refused,
        };
        if self.may_wait(&error, place)
            && let Some(place) = self.line().wait(place, cx.waker())
        {
            self.state = State::New(job, Some(place));
            return Poll::Pending;
        }
        self.metrics().refused();
        self.line().leave(place);
        Poll::Ready(Err(error))
    }

    fn try_submit(&self, job: Job, place: Option<u64>) -> Result<Socket, Refused> {
        if !self.line().is_turn_of(place) {
            return Err(Refused { job, error: Exhausted.into() });
        }
        let token = self.core.driver.submit(job)?;
        let core = Rc::clone(&self.core);
        let socket = Socket::new(core, token, Kind::Job, Ready::NONE, self.origin);
        self.metrics().began();
        self.line().leave(place);
        Ok(socket)
    }

    /// Whether to wait after `error`, which makes sense only for one who will be woken: by who is before him, or by the
    /// end of another job of this shard.
    fn may_wait(&self, error: &io::Error, place: Option<u64>) -> bool {
        let will_be_woken = !self.line().is_turn_of(place) || self.metrics().under_way() > 0;
        self.is_patient && Exhausted::is(error) && will_be_woken
    }
}

impl Future for JobFuture {
    type Output = io::Result<Outcome>;

    /// # Panics
    /// After it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if matches!(self.state, State::New(..)) {
            self.state = State::UnderWay(ready!(self.poll_submit(cx))?);
        }
        let State::UnderWay(socket) = &mut self.state else {
            panic!("a job is not polled after its end")
        };
        let collect = socket.poll_io(Interest::Read, cx, |driver, token| driver.collect(token));
        let ended = ready!(collect).expect("a driver gives the outcome or says WouldBlock");
        // The driver took the token back with the outcome, good or bad.
        socket.spend();
        self.state = State::Over;
        self.metrics().ended(ended.waited, ended.ran);
        self.line().next();
        Poll::Ready(ended.outcome)
    }
}

impl Drop for JobFuture {
    fn drop(&mut self) {
        match core::mem::replace(&mut self.state, State::Over) {
            State::New(_, place) => self.line().leave(place),
            State::UnderWay(socket) => {
                drop(socket);
                self.metrics().cancelled();
                self.line().next();
            }
            State::Over => {}
        }
    }
}
