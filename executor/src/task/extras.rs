//! `Extras`: what few tasks have beside their future. It is in front of the header of a task that has any of it when it is
//! spawned, and takes no room in others.
//!
//! It does not know where it is kept; [`raw`](super::raw) does.

use core::cell::RefCell;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use crate::context::Context;
use crate::scope::Children;

/// A task's name, scope and context, as far as it has them.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) scope: Option<Rc<Children>>,
    /// Not among the children of its scope: see [`shield`](crate::shield).
    pub(crate) is_section: bool,
    /// In force while the task is polled.
    pub(crate) context: Option<Arc<Context>>,
}

/// How the extras are kept: the owner thread takes them out when the task leaves the registry, so that whoever drops the
/// last reference, on whatever thread, finds nothing to drop.
pub(super) type Kept = RefCell<Extras>;

impl Extras {
    /// Whether there is nothing.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        let Self { name, scope, is_section, context } = self;
        name.is_none() && scope.is_none() && !is_section && context.is_none()
    }
}
