//! A program as a list of events in the order of their moments. No tasks, no wakers, no polls: each event changes a table.

use std::collections::BTreeMap;

use mainspring_executor::CancelReason;

use super::{END, Ended, Ends, Failed, Handle, Kind, LATE, Moment, Outcome, Program, Seen, Work};

struct Model<'a> {
    program: &'a Program,
    now: Moment,
    ahead: BTreeMap<Moment, Event>,
    scopes: Vec<ScopeState>,
    children: Vec<ChildState>,
    seen: Seen,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Begin,
    Spawn(usize),
    ChildEnds(usize),
    Abort(usize),
    SectionEnds(usize, bool),
    BodyEnds(usize),
    Deadline(usize),
    DrainCut(usize),
    End,
}

#[derive(Clone, Default)]
struct ScopeState {
    is_open: bool,
    /// Its drop has begun: nobody will be told anything.
    is_closing: bool,
    has_body: bool,
    /// What the body gave, where that is not the failure of the scope.
    body_gave: Option<Outcome>,
    is_drained: bool,
    /// How many children the drain had to cancel.
    cut: usize,
    failure: Option<Failure>,
    over: Option<CancelReason>,
    is_ending: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Failure {
    Error(Failed),
    Late,
    Panic(usize),
}

#[derive(Clone, Default)]
struct ChildState {
    is_alive: bool,
    /// Where the handle is by now, once it is spawned.
    handle: Option<Handle>,
    /// The panic that the handle has.
    held: Option<usize>,
    /// The section is alive; in which scope, if in any.
    section: Option<Option<usize>>,
}

/// What a program has to do.
pub(super) fn run(program: &Program) -> Seen {
    let mut model = Model {
        program,
        now: 0,
        ahead: BTreeMap::new(),
        scopes: vec![ScopeState::default(); program.scopes.len()],
        children: vec![ChildState::default(); program.children.len()],
        seen: Seen::nothing(program),
    };
    model.at(0, Event::Begin);
    model.at(END, Event::End);
    for (child, plan) in program.children.iter().enumerate() {
        if let Some(aborted_at) = plan.aborted_at {
            model.at(aborted_at, Event::Abort(child));
        }
    }
    while let Some((now, event)) = model.ahead.pop_first() {
        model.now = now;
        model.happen(event);
    }
    model.seen
}

impl Model<'_> {
    fn at(&mut self, moment: Moment, event: Event) {
        let other = self.ahead.insert(moment, event);
        assert!(other.is_none(), "one moment, one event: {event:?}, {other:?}");
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Begin => self.begin_scope(0),
            Event::Spawn(child) => self.spawn(child),
            Event::ChildEnds(child) => {
                if self.children[child].is_alive {
                    let ends = match self.program.children[child].work {
                        Work::Leaf(_, ends) => ends,
                        Work::Asked(_) | Work::Shielded(..) | Work::Inner(_) => Ends::Ok,
                    };
                    self.end_child(child, ends, child);
                }
            }
            Event::Abort(child) => {
                if self.children[child].handle.is_some() {
                    self.kill_child(child, CancelReason::Aborted);
                    self.settle(self.program.children[child].scope);
                }
            }
            Event::SectionEnds(child, by_itself) => self.end_section(child, by_itself),
            Event::BodyEnds(scope) => self.end_body(scope),
            Event::Deadline(scope) => self.deadline(scope),
            Event::DrainCut(scope) => self.cut_drain(scope),
            Event::End => self.kill_scope(0),
        }
    }

    fn begin_scope(&mut self, scope: usize) {
        let plan = &self.program.scopes[scope];
        self.scopes[scope].is_open = true;
        self.scopes[scope].has_body = true;
        if let Some(deadline) = plan.deadline {
            self.at(deadline, Event::Deadline(scope));
        }
        self.at(plan.body_ends_at, Event::BodyEnds(scope));
        for child in &plan.children {
            let spawned_at = self.program.children[*child].spawned_at;
            if spawned_at == self.now {
                self.spawn(*child);
            } else {
                self.at(spawned_at, Event::Spawn(*child));
            }
        }
    }

    fn spawn(&mut self, child: usize) {
        let plan = &self.program.children[child];
        let state = &self.scopes[plan.scope];
        if !state.is_open || !state.has_body {
            return;
        }
        self.children[child].handle = Some(plan.handle);
        if let Some(reason) = state.over {
            self.seen.cancelled[reason as usize] += 1;
            self.tell_outside(child, Outcome::Cancelled);
            return;
        }
        self.children[child].is_alive = true;
        match plan.work {
            Work::Leaf(None, _) => {}
            Work::Leaf(Some(at), _) => self.at(at, Event::ChildEnds(child)),
            Work::Asked(after) => {
                if self.is_asked(plan.scope) {
                    self.at(self.now + after, Event::ChildEnds(child));
                }
            }
            Work::Shielded(at, bound) => {
                self.children[child].section = Some(Some(plan.scope));
                self.at(at.min(bound), Event::SectionEnds(child, at < bound));
            }
            Work::Inner(inner) => self.begin_scope(inner),
        }
    }

    /// Whether the scope or one around it was drained.
    fn is_asked(&self, scope: usize) -> bool {
        let around =
            self.program.scopes[scope].owner.map(|owner| self.program.children[owner].scope);
        self.scopes[scope].is_drained || around.is_some_and(|around| self.is_asked(around))
    }

    /// A child ends by itself; `name` says whose failure it is.
    fn end_child(&mut self, child: usize, ends: Ends, name: usize) {
        let plan = &self.program.children[child];
        self.children[child].is_alive = false;
        self.seen.children[child] = Some((self.now, Ended::Done));
        match ends {
            Ends::Ok => self.tell_outside(child, Outcome::Ok),
            Ends::Fails if plan.is_try => {
                self.tell_outside(child, Outcome::Nothing);
                self.fail(plan.scope, Failure::Error(Failed(name)));
            }
            Ends::Fails => self.tell_outside(child, Outcome::Ok),
            Ends::Panics if plan.is_try => {
                self.tell_outside(child, Outcome::Nothing);
                self.fail(plan.scope, Failure::Panic(name));
            }
            Ends::Panics => self.panic(child, name),
        }
        self.settle(plan.scope);
    }

    fn tell_outside(&mut self, child: usize, outcome: Outcome) {
        if self.program.children[child].handle == Handle::Outside {
            self.seen.joined[child] = Some(outcome);
        }
    }

    /// A child panicked, and its handle has that, or its scope.
    fn panic(&mut self, child: usize, name: usize) {
        match self.children[child].handle.expect("it was spawned") {
            Handle::Nobody => self.keep_panic(self.program.children[child].scope, name),
            Handle::Body => self.children[child].held = Some(name),
            Handle::Outside => self.tell_outside(child, Outcome::Panic(name)),
        }
    }

    fn keep_panic(&mut self, scope: usize, name: usize) {
        if self.program.scopes[scope].kind == Kind::Each {
            self.keep(scope, Failure::Panic(name));
        } else {
            self.fail(scope, Failure::Panic(name));
        }
    }

    fn fail(&mut self, scope: usize, failure: Failure) {
        self.scopes[scope].over.get_or_insert(CancelReason::Sibling);
        self.keep(scope, failure);
    }

    fn keep(&mut self, scope: usize, failure: Failure) {
        let state = &mut self.scopes[scope];
        if state.is_closing || state.failure.is_some() {
            self.lose(failure);
        } else {
            state.failure = Some(failure);
        }
    }

    /// Nobody is told.
    fn lose(&mut self, failure: Failure) {
        match failure {
            Failure::Error(_) => self.seen.errors_unheard += 1,
            Failure::Panic(_) => self.seen.panics_unjoined += 1,
            Failure::Late => {}
        }
    }

    /// What follows from a change of a scope.
    fn settle(&mut self, scope: usize) {
        if self.scopes[scope].is_ending {
            return;
        }
        if let Some(reason) = self.scopes[scope].over {
            self.kill_children(scope, reason);
        }
        let ends_body = match (self.program.scopes[scope].kind, self.scopes[scope].failure) {
            (Kind::TryScope, Some(_)) | (Kind::Scope, Some(Failure::Panic(_))) => true,
            (Kind::Each | Kind::Scope | Kind::TryScope, _) => false,
        };
        if ends_body && self.scopes[scope].has_body {
            self.drop_body(scope);
        }
        self.check_end(scope);
    }

    fn kill_children(&mut self, scope: usize, reason: CancelReason) {
        let before = self.scopes[scope].is_ending;
        self.scopes[scope].is_ending = true;
        for child in &self.program.scopes[scope].children {
            self.kill_child(*child, reason);
        }
        self.scopes[scope].is_ending = before;
    }

    /// A child is dropped where it stands.
    fn kill_child(&mut self, child: usize, reason: CancelReason) {
        if !self.children[child].is_alive {
            return;
        }
        let plan = &self.program.children[child];
        self.children[child].is_alive = false;
        self.seen.children[child] = Some((self.now, Ended::Dropped));
        self.seen.cancelled[reason as usize] += 1;
        if let Work::Inner(inner) = plan.work {
            self.kill_scope(inner);
        }
        if self.children[child].section.is_some() {
            self.seen.shields_left += 1;
        }
        if plan.panics_when_dropped {
            self.panic(child, child);
        } else {
            self.tell_outside(child, Outcome::Cancelled);
        }
    }

    /// A body is gone, and with it the handles that it held.
    fn drop_body(&mut self, scope: usize) {
        self.scopes[scope].has_body = false;
        for child in &self.program.scopes[scope].children {
            let state = &mut self.children[*child];
            if state.handle == Some(Handle::Body) {
                state.handle = Some(Handle::Nobody);
                if let Some(name) = state.held.take() {
                    self.keep_panic(scope, name);
                    self.settle_children(scope);
                }
            }
        }
    }

    /// The part of `settle` that concerns the children.
    fn settle_children(&mut self, scope: usize) {
        if let Some(reason) = self.scopes[scope].over {
            self.kill_children(scope, reason);
        }
    }

    /// A scope is dropped, with its body.
    fn kill_scope(&mut self, scope: usize) {
        if !self.scopes[scope].is_open {
            return;
        }
        // All of it at once: nothing ends by itself in between.
        self.scopes[scope].is_ending = true;
        if self.scopes[scope].has_body {
            self.drop_body(scope);
        }
        self.scopes[scope].is_closing = true;
        self.kill_children(scope, CancelReason::Scope);
        self.leave_sections(scope);
        if let Some(failure) = self.scopes[scope].failure.take() {
            self.lose(failure);
        }
        self.scopes[scope].is_open = false;
    }

    fn leave_sections(&mut self, scope: usize) {
        let mut heir = Some(scope);
        while let Some(closed) = heir.filter(|scope| self.scopes[*scope].is_closing) {
            let owner = self.program.scopes[closed].owner;
            heir = owner.map(|owner| self.program.children[owner].scope);
        }
        for child in &mut self.children {
            if child.section == Some(Some(scope)) {
                child.section = Some(heir);
            }
        }
    }

    /// A scope ends when nothing in it is alive.
    fn check_end(&mut self, scope: usize) {
        let state = &self.scopes[scope];
        let lives = |child: &usize| self.children[*child].is_alive;
        let has_section = self.children.iter().any(|child| child.section == Some(Some(scope)));
        let has_children = self.program.scopes[scope].children.iter().any(lives);
        if !state.is_open || state.is_closing || state.has_body || has_children || has_section {
            return;
        }
        let failure = self.scopes[scope].failure.take();
        let outcome = match (self.program.scopes[scope].kind, failure) {
            (_, Some(Failure::Panic(name))) => Outcome::Panic(name),
            (Kind::Each | Kind::TryScope, Some(Failure::Error(failed))) => Outcome::Err(failed),
            (Kind::Each | Kind::TryScope, Some(Failure::Late)) => Outcome::Err(LATE),
            (Kind::Each | Kind::TryScope, None) => Outcome::Ok,
            (Kind::Scope, failure) => {
                if let Some(failure) = failure {
                    self.lose(failure);
                }
                self.scopes[scope].body_gave.expect("without a panic the body gave something")
            }
        };
        self.end_scope(scope, outcome);
    }

    fn end_scope(&mut self, scope: usize, outcome: Outcome) {
        let plan = &self.program.scopes[scope];
        self.scopes[scope].is_open = false;
        self.seen.scopes[scope] = Some((self.now, outcome));
        if plan.drain_until.is_some() {
            self.seen.cut[scope] = Some(self.scopes[scope].cut);
        }
        let Some(owner) = plan.owner else { return };
        match outcome {
            Outcome::Ok => self.end_child(owner, Ends::Ok, owner),
            Outcome::Err(failed) => self.end_child(owner, Ends::Fails, failed.0),
            Outcome::Panic(name) => self.end_child(owner, Ends::Panics, name),
            Outcome::Cancelled | Outcome::Nothing => unreachable!("a scope gives neither"),
        }
    }

    fn end_section(&mut self, child: usize, by_itself: bool) {
        let scope = self.children[child].section.take().expect("a section ends once");
        self.seen.sections[child] = Some((self.now, by_itself));
        self.seen.shields_cut += u64::from(!by_itself);
        if self.children[child].is_alive {
            self.end_child(child, Ends::Ok, child);
        } else if let Some(scope) = scope {
            self.check_end(scope);
        }
    }

    fn end_body(&mut self, scope: usize) {
        let plan = &self.program.scopes[scope];
        if !self.scopes[scope].is_open || !self.scopes[scope].has_body {
            return;
        }
        self.drop_body(scope);
        let name = self.program.body_name(scope);
        match (plan.kind, plan.body_ends) {
            (Kind::Each, _) => {
                if let Some(drain_until) = plan.drain_until {
                    self.drain(scope);
                    self.at(drain_until, Event::DrainCut(scope));
                }
            }
            (Kind::Scope | Kind::TryScope, Ends::Panics) => {
                self.kill_scope(scope);
                return self.end_scope(scope, Outcome::Panic(name));
            }
            (Kind::TryScope, Ends::Fails) => self.fail(scope, Failure::Error(Failed(name))),
            (Kind::Scope, Ends::Fails) => {
                self.scopes[scope].body_gave = Some(Outcome::Err(Failed(name)));
            }
            (Kind::Scope | Kind::TryScope, Ends::Ok) => {
                self.scopes[scope].body_gave = Some(Outcome::Ok);
            }
        }
        self.settle(scope);
    }

    /// Asks who is in the scope, or below it, and was not asked before.
    fn drain(&mut self, scope: usize) {
        let asked_before: Vec<bool> =
            self.program.children.iter().map(|child| self.is_asked(child.scope)).collect();
        self.scopes[scope].is_drained = true;
        for (child, was_asked) in asked_before.into_iter().enumerate() {
            let plan = &self.program.children[child];
            if let Work::Asked(after) = plan.work
                && self.children[child].is_alive
                && !was_asked
                && self.is_asked(plan.scope)
            {
                self.at(self.now + after, Event::ChildEnds(child));
            }
        }
    }

    fn cut_drain(&mut self, scope: usize) {
        if !self.scopes[scope].is_open {
            return;
        }
        let children = &self.program.scopes[scope].children;
        let cut = children.iter().filter(|child| self.children[**child].is_alive).count();
        self.scopes[scope].cut = cut;
        self.kill_children(scope, CancelReason::Scope);
        self.settle(scope);
    }

    fn deadline(&mut self, scope: usize) {
        if !self.scopes[scope].is_open {
            return;
        }
        let plan = &self.program.scopes[scope];
        let lives = |child: &usize| self.children[*child].is_alive;
        let ends_body = plan.kind == Kind::TryScope && self.scopes[scope].has_body;
        let ends_something = ends_body || plan.children.iter().any(lives);
        self.scopes[scope].over.get_or_insert(CancelReason::Deadline);
        if ends_something {
            self.keep(scope, Failure::Late);
        }
        self.settle(scope);
    }
}
