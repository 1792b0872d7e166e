//! Programs that a scenario makes known, and what one of them sees of itself when it runs: `SimProcess`.

use core::fmt;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;

use mainspring_executor::driver::Detached;
use mainspring_executor::process::{PipeReader, PipeWriter};

/// Where a program is looked for that is asked for by its name alone, in this order.
const FOLDERS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// A program, as it is written down: makes what runs when somebody starts it.
pub(crate) type Program = Rc<dyn Fn(SimProcess) -> Pin<Box<dyn Future<Output = i32>>>>;

/// The programs of a room, by path.
#[derive(Default)]
pub(crate) struct Programs(BTreeMap<PathBuf, Program>);

impl Programs {
    pub(crate) fn add(&mut self, path: PathBuf, program: Program) {
        self.0.insert(path, program);
    }

    /// # Errors
    /// `InvalidInput` for a zero byte, `NotFound`.
    pub(crate) fn find(&self, program: &OsStr) -> Result<&Program, ErrorKind> {
        let name = program.as_encoded_bytes();
        if name.contains(&0) {
            return Err(ErrorKind::InvalidInput);
        }
        let found = match name {
            b"" => None,
            name if name.contains(&b'/') => self.0.get(Path::new(program)),
            _ => FOLDERS.iter().find_map(|folder| self.0.get(&Path::new(folder).join(program))),
        };
        found.ok_or(ErrorKind::NotFound)
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a process was started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) current_dir: PathBuf,
}

/// A running program, as it sees itself. It is its own: it may be used and dropped piece by piece, and what it returns is
/// its exit code. What it spawns ends with it.
pub struct SimProcess {
    /// What it reads; `None` where nothing is to be read.
    pub stdin: Option<PipeReader>,
    /// What it writes to; `None` where nobody would read it.
    pub stdout: Option<PipeWriter>,
    /// What it complains to; `None` where nobody would read it.
    pub stderr: Option<PipeWriter>,
    setting: Setting,
    id: u32,
}

impl SimProcess {
    /// Called by the process itself, in its shard.
    pub(crate) fn new(setting: Setting, id: u32, pipes: [Option<Detached>; 3]) -> io::Result<Self> {
        let [stdin, stdout, stderr] = pipes;
        Ok(Self {
            stdin: stdin.map(PipeReader::attach).transpose()?,
            stdout: stdout.map(PipeWriter::attach).transpose()?,
            stderr: stderr.map(PipeWriter::attach).transpose()?,
            setting,
            id,
        })
    }

    /// Its number on its machine.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// As which it was started.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.setting.program
    }

    /// Its arguments, without its own name in front.
    #[must_use]
    pub fn args(&self) -> &[OsString] {
        &self.setting.args
    }

    /// A variable of its environment. The program of a host has none, so there are those that were set on the way here.
    #[must_use]
    pub fn env(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.setting.env.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// The folder that it was started in.
    #[must_use]
    pub fn current_dir(&self) -> &Path {
        &self.setting.current_dir
    }
}

impl fmt::Debug for SimProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimProcess({} {:?})", self.id, self.setting.program)
    }
}
