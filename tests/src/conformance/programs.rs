//! Stand-ins for the programs that cases start: what `/bin/cat` and `/bin/sh` do on the operating system, as far as a case
//! can see, for the simulated one.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use mainspring_executor::driver::Signal;
use mainspring_executor::file::File;
use mainspring_executor::process::PipeWriter;
use mainspring_executor::signal::Signals;
use mainspring_sim::{SimProcess, World};

use super::processes::{ENDLESS, FAILS, GREETS, TRAPS};

/// Makes the programs known.
pub(super) fn install(world: &World) {
    world.add_program("/bin/cat", |process| async { cat(process).await.unwrap_or(1) });
    world.add_program("/bin/sh", |process| async { shell(process).await.unwrap_or(1) });
}

/// Copies what it reads.
async fn cat(process: SimProcess) -> io::Result<i32> {
    let SimProcess { stdin, mut stdout, .. } = process;
    let Some(mut stdin) = stdin else { return Ok(0) };
    while stdin.fill().await? > 0 {
        let count = stdin.buffered().len();
        write(&mut stdout, stdin.buffered()).await?;
        stdin.consume(count);
    }
    Ok(0)
}

/// Knows the scripts of the cases, and `exit`.
async fn shell(mut process: SimProcess) -> io::Result<i32> {
    let script = process.args()[1].to_str().expect("a script is text").to_owned();
    if let Some(code) = script.strip_prefix("exit ") {
        return Ok(code.parse().expect("a code"));
    }
    match &*script {
        FAILS => {
            write(&mut process.stdout, b"out\n").await?;
            write(&mut process.stderr, b"err\n").await?;
            Ok(3)
        }
        GREETS => greet(process).await,
        ENDLESS => loop {
            write(&mut process.stdout, b"aaaaaaaaaaaaaaa\n").await?;
        },
        TRAPS => {
            let mut signals = Signals::subscribe_to(&[Signal::Terminate])?;
            write(&mut process.stdout, b"ready\n").await?;
            signals.next().await?;
            Ok(3)
        }
        other => panic!("a script that this shell does not know: {other}"),
    }
}

/// Prints two variables and a file of its folder.
async fn greet(mut process: SimProcess) -> io::Result<i32> {
    let value = |name| process.env(name).unwrap_or(OsStr::new("")).to_str().expect("text");
    let line = format!("{}-{}\n", value("GREETING"), value("SECRET"));
    let folder = process.current_dir().to_owned();
    let file = File::open(folder, PathBuf::from("hello.txt")).await?;
    let bytes = file.read_at(0, 100).await?;
    write(&mut process.stdout, line.as_bytes()).await?;
    write(&mut process.stdout, &bytes).await?;
    Ok(0)
}

async fn write(to: &mut Option<PipeWriter>, bytes: &[u8]) -> io::Result<()> {
    match to {
        Some(pipe) => pipe.write_all(bytes).await,
        None => Ok(()),
    }
}
