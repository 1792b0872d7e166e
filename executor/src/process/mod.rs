//! Child processes for tasks: started by a job, waited for by an edge, fed and read through pipes.
//!
//! A [`Child`] does not outlive its owner: dropped before its end, it is killed, and the driver sees to it that nothing is
//! left of it. So a cancelled scope takes its children along, those of the machine as those of the program. What a child
//! starts by itself is not known here and goes on.
//!
//! ```
//! use mainspring_executor::{Shard, os::OsDriver, process::Command};
//!
//! let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
//! let output = shard.run(async { Command::new("echo").arg("hello").output().await })??;
//! assert!(output.status.is_success());
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod command;
mod pipe;

pub use child::{Child, Output};
pub use command::{Command, OUTPUT_BYTES_MAX};
pub use pipe::{PipeReader, PipeWriter};

pub use crate::driver::{ExitStatus, Stdio};
