//! Cases of child processes: what goes in and comes out, how they end, and that none is left.

use core::time::Duration;
use std::io::{ErrorKind, IoSlice};

use futures::future::{join, join_all, poll_fn};
use mainspring_executor::driver::Signal;
use mainspring_executor::dump;
use mainspring_executor::process::{Child, Command, ExitStatus, Stdio};
use mainspring_executor::time::sleep;

use super::pair::{kind, patterned, poll_once};
use super::stage::Stage;

/// Writes to both of its streams, and fails.
pub(super) const FAILS: &str = "echo out; echo err >&2; exit 3";

/// Says what it finds in its environment and in its folder.
pub(super) const GREETS: &str = "echo \"$GREETING-$SECRET\"; exec /bin/cat hello.txt";

/// Writes as long as somebody reads.
pub(super) const ENDLESS: &str = "while :; do echo aaaaaaaaaaaaaaa; done";

/// Handles a signal. After some seconds it ends, so that a test that fails leaves nothing behind for ever.
pub(super) const TRAPS: &str = "trap 'exit 3' TERM; echo ready; \
    i=0; while [ $i -lt 1000 ]; do i=$((i+1)); sleep 0.01; done";

/// The most that pipes and a `cat` between them hold.
const HELD_MAX: usize = 1024 * 1024;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn piped_cat() -> Command {
    let mut command = Command::new("/bin/cat");
    command.stdin(Stdio::Piped).stdout(Stdio::Piped);
    command
}

async fn cat() -> Child {
    piped_cat().spawn().await.expect("there is a cat")
}

/// Waits until this program has no child: not one that runs, and not one that nobody has waited for.
async fn no_child_is_left(stage: &Stage) {
    while stage.has_children() {
        sleep(Duration::from_millis(1)).await;
    }
}

pub(super) async fn echo(stage: Stage) {
    let open_before = stage.witness.open().len();
    let mut child = cat().await;
    assert!(child.stderr.is_none() && child.id() > 0);
    assert_eq!(stage.witness.open().len(), open_before + 3);
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for word in [&b"hello"[..], b"child"] {
        stdin.write_all(word).await.unwrap();
        let mut answer = vec![0; word.len()];
        let mut filled = 0;
        while filled < word.len() {
            filled += stdout.read(&mut answer[filled..]).await.unwrap();
        }
        assert_eq!(answer, word);
    }
    assert!(poll_once(&mut Box::pin(child.wait())).await.is_none(), "it reads on");
    assert!(poll_once(&mut Box::pin(stdout.fill())).await.is_none(), "nothing more comes");
    drop(stdin);
    assert_eq!(stdout.fill().await.unwrap(), 0);
    assert_eq!(stdout.fill().await.unwrap(), 0, "an end stays");
    assert_eq!(child.wait().await.unwrap(), ExitStatus::Exited(0));
    assert!(!stage.has_children(), "its end was asked for, and nothing is left");
    drop((child, stdout));
    assert_eq!(stage.witness.open().len(), open_before);
}

pub(super) async fn codes(stage: Stage) {
    for code in [0, 1, 7, 255] {
        let mut command = shell(&format!("exit {code}"));
        assert_eq!(command.status().await.unwrap(), ExitStatus::Exited(code));
        let mut child = command.stdout(Stdio::Piped).spawn().await.unwrap();
        let mut wait = Box::pin(child.wait());
        let early = poll_once(&mut wait).await;
        drop(wait);
        // A wait that was dropped has taken nothing; one that is over says the same again.
        let status = child.wait().await.unwrap();
        assert_eq!(status, ExitStatus::Exited(code));
        assert!(early.is_none_or(|early| early.unwrap() == status));
        assert_eq!(child.wait().await.unwrap(), status);
        child.kill().unwrap();
        child.signal(Signal::Terminate).unwrap();
        assert_eq!(child.wait().await.unwrap(), status, "whose end was told gets no signals");
    }
    // By its name alone.
    let status = Command::new("sh").args(["-c", "exit 5"]).status().await.unwrap();
    assert_eq!((status.code(), status.signal(), status.is_success()), (Some(5), None, false));
    // Nothing to read, and nobody who reads.
    let status = Command::new("/bin/cat").stdin(Stdio::Null).stdout(Stdio::Null).status().await;
    assert_eq!(status.unwrap(), ExitStatus::Exited(0));
    no_child_is_left(&stage).await;
}

pub(super) async fn killed(stage: Stage) {
    for (signal, number) in [(None, SIGKILL), (Some(Signal::Terminate), SIGTERM)] {
        let mut child = cat().await;
        match signal {
            Some(signal) => child.signal(signal).unwrap(),
            None => child.kill().unwrap(),
        }
        let status = poll_fn(|cx| child.poll_exit(cx)).await.unwrap();
        assert_eq!(status, ExitStatus::Signaled(number));
        assert_eq!((status.code(), status.signal()), (None, Some(number)));
        assert_eq!(child.stdout.as_mut().unwrap().fill().await.unwrap(), 0, "its ends are closed");
        let written = child.stdin.as_mut().unwrap().write_all(b"late").await;
        assert_eq!(kind(written), Err(ErrorKind::BrokenPipe));
    }
    no_child_is_left(&stage).await;
}

/// A child that handles a signal ends as it likes.
pub(super) async fn trapped(stage: Stage) {
    let mut child = shell(TRAPS).stdout(Stdio::Piped).spawn().await.unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    while stdout.buffered() != b"ready\n" {
        assert_ne!(stdout.fill().await.unwrap(), 0);
    }
    child.signal(Signal::Terminate).unwrap();
    assert_eq!(child.wait().await.unwrap(), ExitStatus::Exited(3));
    no_child_is_left(&stage).await;
}

pub(super) async fn output(stage: Stage) {
    let output = shell(FAILS).output().await.unwrap();
    assert_eq!(output.status, ExitStatus::Exited(3));
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    let mut command = shell(GREETS);
    command.env("GREETING", "lost").env_clear();
    command.env("GREETING", "hello").env("SECRET", "lost").env_remove("SECRET");
    let output = command.current_dir(&stage.files).output().await.unwrap();
    assert_eq!(output.status, ExitStatus::Exited(0));
    assert_eq!(output.stdout, b"hello-\nhello, files");
    no_child_is_left(&stage).await;
}

/// More output than is asked for is an error, and ends the child.
pub(super) async fn bounded(stage: Stage) {
    let open_before = stage.witness.open().len();
    let fits = shell(FAILS).output_bytes_max(4).output().await.unwrap();
    assert_eq!(fits.stdout.len(), 4);
    let one_less = shell(FAILS).output_bytes_max(3).output().await;
    assert_eq!(kind(one_less), Err(ErrorKind::FileTooLarge));
    let endless = shell(ENDLESS).output_bytes_max(100_000).output().await;
    assert_eq!(kind(endless), Err(ErrorKind::FileTooLarge));
    no_child_is_left(&stage).await;
    assert_eq!(stage.witness.open().len(), open_before);
}

pub(super) async fn missing(stage: Stage) {
    let open_before = stage.witness.open().len();
    for program in ["/bin/no-such-program", "no-such-program", ""] {
        let refused = kind(Command::new(program).spawn().await.map(drop));
        assert_eq!(refused, Err(ErrorKind::NotFound), "{program:?}");
    }
    let nowhere = stage.files.join("missing");
    let refused = kind(piped_cat().current_dir(nowhere).spawn().await.map(drop));
    assert_eq!(refused, Err(ErrorKind::NotFound));
    let refused = kind(Command::new("a\0b").spawn().await.map(drop));
    assert_eq!(refused, Err(ErrorKind::InvalidInput));
    assert!(!stage.has_children());
    assert_eq!(stage.witness.open().len(), open_before);
}

/// A child that nobody reads from stops reading, and what it got is not lost.
pub(super) async fn backpressure(stage: Stage) {
    const COUNT: usize = 2 * HELD_MAX;
    let mut child = cat().await;
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let bytes = patterned(0, COUNT);
    let mut written = 0;
    // Until it takes no more for a while: it may have been slow, and then this shows less.
    let mut pauses = 0;
    while pauses < 20 {
        let slices = [IoSlice::new(&bytes[written..])];
        let write = poll_once(&mut poll_fn(|cx| stdin.poll_write(cx, &slices))).await;
        if let Some(count) = write {
            written += count.unwrap();
            assert!(written < HELD_MAX, "pipes do not hold {written} bytes");
            pauses = 0;
        } else {
            pauses += 1;
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(written > 0);
    let feed = async {
        stdin.write_all(&bytes[written..]).await.unwrap();
        drop(stdin);
    };
    let mut echoed = Vec::new();
    let (_, read) = join(feed, stdout.read_to_end(&mut echoed)).await;
    read.unwrap();
    assert!(echoed == bytes, "bytes were lost or changed: {} of {COUNT}", echoed.len());
    assert_eq!(child.wait().await.unwrap(), ExitStatus::Exited(0));
    no_child_is_left(&stage).await;
}

/// Who writes to nobody is told, on either side.
pub(super) async fn broken_pipes(stage: Stage) {
    let mut child = shell("exit 0").stdin(Stdio::Piped).spawn().await.unwrap();
    assert_eq!(poll_fn(|cx| child.poll_exit(cx)).await.unwrap(), ExitStatus::Exited(0));
    for _ in 0..2 {
        let written = child.stdin.as_mut().unwrap().write_all(b"to nobody").await;
        assert_eq!(kind(written), Err(ErrorKind::BrokenPipe));
    }
    // One who waits for room learns it, too.
    let mut child = cat().await;
    let mut stdin = child.stdin.take().unwrap();
    let (written, status) = join(stdin.write_all(&[0; HELD_MAX]), async {
        sleep(Duration::from_millis(5)).await;
        child.kill().unwrap();
        poll_fn(|cx| child.poll_exit(cx)).await
    })
    .await;
    assert_eq!(kind(written), Err(ErrorKind::BrokenPipe));
    assert_eq!(status.unwrap(), ExitStatus::Signaled(SIGKILL));
    let mut child = shell(ENDLESS).stdout(Stdio::Piped).spawn().await.unwrap();
    assert_ne!(child.stdout.as_mut().unwrap().fill().await.unwrap(), 0);
    drop(child.stdout.take());
    assert!(!child.wait().await.unwrap().is_success(), "it cannot go on");
    no_child_is_left(&stage).await;
}

/// Nothing outlives its owner: neither a child that is dropped, nor one that starts while its starter goes away.
pub(super) async fn dropped(stage: Stage) {
    let open_before = stage.witness.open().len();
    for _ in 0..5 {
        let mut child = cat().await;
        assert!(stage.has_children());
        // Its input has not ended: it has no other reason to go.
        let stdin = child.stdin.take();
        drop(child);
        no_child_is_left(&stage).await;
        drop(stdin);
    }
    assert_eq!(stage.witness.open().len(), open_before);
    for pause in 0..20 {
        let mut starting = Box::pin(shell(TRAPS).stdout(Stdio::Null).spawn());
        assert!(poll_once(&mut starting).await.is_none(), "starting takes time");
        // Dropped while it waits, runs, or is over.
        sleep(Duration::from_micros(pause * 100)).await;
        drop(starting);
        assert_eq!(stage.witness.open().len(), open_before);
    }
    no_child_is_left(&stage).await;
    // Nor is one left that had ended when it was dropped.
    let mut child = shell("exit 0").stdout(Stdio::Piped).spawn().await.unwrap();
    assert_eq!(child.stdout.as_mut().unwrap().fill().await.unwrap(), 0);
    drop(child);
    no_child_is_left(&stage).await;
}

pub(super) async fn many(stage: Stage) {
    let open_before = stage.witness.open().len();
    let all = (0..50).map(|number| async move {
        let mut child = cat().await;
        let text = format!("child {number}");
        child.stdin.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
        drop(child.stdin.take());
        let mut echoed = Vec::new();
        child.stdout.as_mut().unwrap().read_to_end(&mut echoed).await.unwrap();
        assert_eq!(echoed, text.as_bytes());
        (child.id(), child.wait().await.unwrap())
    });
    let mut ended = join_all(all).await;
    assert!(ended.iter().all(|(_, status)| status.is_success()));
    ended.sort_unstable_by_key(|(id, _)| *id);
    ended.dedup_by_key(|(id, _)| *id);
    assert_eq!(ended.len(), 50, "each is one of its own");
    no_child_is_left(&stage).await;
    assert_eq!(stage.witness.open().len(), open_before);
}

/// A dump tells who waits for a child.
pub(super) async fn dumped() {
    let mut child = cat().await;
    let mut wait = Box::pin(poll_fn(|cx| child.poll_exit(cx)));
    assert!(poll_once(&mut wait).await.is_none());
    let text = dump().to_string();
    assert!(text.contains("for its end: child opened at"), "{text}");
}
