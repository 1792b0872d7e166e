//! More owners than there are counts for. A test of its own: while there are so many, no other one would be counted.

use mainspring_sim_allocator::{CountingAllocator, Owner};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn who_is_one_too_many_is_not_counted() {
    let mut owners: Vec<Owner> = (1..1 << 16).map(|_| Owner::new()).collect();
    let last = owners.pop().expect("there are many");
    let kept = last.enter(|| vec![0_u8; 1000]);
    assert_eq!(last.bytes_live(), Some(1000));
    let beyond = Owner::new();
    let more = beyond.enter(|| vec![0_u8; 1000]);
    assert_eq!((beyond.bytes_live(), last.bytes_live()), (None, Some(1000)));
    drop((more, beyond));
    // A number that is given back is given out, but not that of nobody.
    assert_eq!(Owner::new().bytes_live(), None);
    drop((kept, last));
    assert_eq!(Owner::new().bytes_live(), Some(0));
}
