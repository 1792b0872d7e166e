//! `together`: several parts of a plan, made small again and again until no part becomes smaller.

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Two to six parts of a plan, as a tuple of their strategies. Shrinks the first as far as it goes, then the second, and so on.
///
/// A tuple of `proptest` does so, too, and then is done. This one can be gone down again: what the first part needed while the
/// second was large it may not need any more. A [`Property`](crate::Property) goes on until nothing becomes smaller. The
/// parts may be any strategies; [`number`](crate::number()), [`items`](crate::items()), and what is made of them, shrink anew each time,
/// others once.
pub fn together<T>(parts: T) -> Together<T> {
    Together { parts }
}

/// The strategy of [`together`].
#[derive(Clone, Debug)]
pub struct Together<T> {
    parts: T,
}

/// The tree of [`Together`].
#[derive(Clone, Debug)]
pub struct TogetherTree<T> {
    parts: T,
    /// The part that is being shrunk.
    next: usize,
}

macro_rules! of_tuple {
    ($($part:ident $index:tt),*) => {
        impl<$($part: Strategy),*> Strategy for Together<($($part,)*)> {
            type Tree = TogetherTree<($($part::Tree,)*)>;
            type Value = ($($part::Value,)*);

            fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
                Ok(TogetherTree { parts: ($(self.parts.$index.new_tree(runner)?,)*), next: 0 })
            }
        }

        impl<$($part: ValueTree),*> ValueTree for TogetherTree<($($part,)*)> {
            type Value = ($($part::Value,)*);

            fn current(&self) -> Self::Value {
                ($(self.parts.$index.current(),)*)
            }

            fn simplify(&mut self) -> bool {
                $(
                    if self.next == $index {
                        if self.parts.$index.simplify() {
                            return true;
                        }
                        self.next += 1;
                    }
                )*
                self.next = 0;
                false
            }

            fn complicate(&mut self) -> bool {
                match self.next {
                    $($index => self.parts.$index.complicate(),)*
                    _ => unreachable!("it is one of the parts"),
                }
            }
        }
    };
}

of_tuple!(A 0, B 1);
of_tuple!(A 0, B 1, C 2);
of_tuple!(A 0, B 1, C 2, D 3);
of_tuple!(A 0, B 1, C 2, D 3, E 4);
of_tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
