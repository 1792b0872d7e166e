//! The plainest model of permits: a number, and a list of those who want some. What semaphores, locks and the room of a
//! channel must do, whatever they are made of.

use core::task::Poll;
use std::collections::BTreeMap;

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct PermitsModel {
    pub(crate) free: usize,
    pub(crate) is_closed: bool,
    /// Who waits, and for how many.
    pub(crate) line: Vec<(usize, usize)>,
    /// What was given and not taken yet: so many permits, or the news that there will be none.
    given: BTreeMap<usize, Option<usize>>,
    woken: Vec<usize>,
}

impl PermitsModel {
    pub(crate) fn new(free: usize) -> Self {
        Self { free, ..Self::default() }
    }

    /// Who was woken since this was asked last, in order.
    pub(crate) fn take_woken(&mut self) -> Vec<usize> {
        core::mem::take(&mut self.woken)
    }

    /// `None` where it would have to wait.
    pub(crate) fn try_take(&mut self, wanted: usize) -> Option<Result<(), ()>> {
        if self.is_closed {
            return Some(Err(()));
        }
        let may = wanted == 0 || self.line.is_empty();
        if !may || self.free < wanted {
            return None;
        }
        self.free -= wanted;
        Some(Ok(()))
    }

    /// The first poll of a request.
    pub(crate) fn request(&mut self, id: usize, wanted: usize) -> Poll<Result<(), ()>> {
        match self.try_take(wanted) {
            Some(taken) => Poll::Ready(taken),
            None => {
                self.line.push((id, wanted));
                Poll::Pending
            }
        }
    }

    /// A later poll of it.
    pub(crate) fn poll(&mut self, id: usize) -> Poll<Result<(), ()>> {
        match self.given.remove(&id) {
            Some(Some(_)) => Poll::Ready(Ok(())),
            Some(None) => Poll::Ready(Err(())),
            None => Poll::Pending,
        }
    }

    /// The request is dropped before it is ready.
    pub(crate) fn leave(&mut self, id: usize) {
        self.line.retain(|(waiting, _)| *waiting != id);
        let given_back = self.given.remove(&id).flatten().unwrap_or(0);
        self.put(given_back);
    }

    pub(crate) fn put(&mut self, count: usize) {
        self.free += count;
        while let Some(&(id, wanted)) = self.line.first()
            && wanted <= self.free
        {
            self.free -= wanted;
            self.line.remove(0);
            self.given.insert(id, Some(wanted));
            self.woken.push(id);
        }
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        for given in self.given.values_mut() {
            self.free += given.take().unwrap_or(0);
        }
        for (id, _) in self.line.drain(..) {
            self.given.insert(id, None);
            self.woken.push(id);
        }
    }
}
