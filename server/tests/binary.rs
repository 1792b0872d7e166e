//! The `mainspring` binary from outside: its flags, what it serves and says, and how it ends.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it looks at a process of the operating system from another one"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No wait of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Any free port of this machine.
const ANY: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A file that no buffer holds.
const BIG_BYTES: usize = 64 << 20;

/// A server that runs. Dropping it kills it.
struct Running {
    child: Child,
    /// What it says on standard error, line by line.
    lines: Receiver<String>,
    said: Vec<String>,
    addresses: Vec<SocketAddr>,
}

impl Running {
    /// Starts the binary, and waits until it says that it listens on so many addresses.
    fn start(args: &[&str], address_count: usize) -> Self {
        let mut child = mainspring(args).spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the process: that closes its side.
            stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let mut running = Self { child, lines, said: Vec::new(), addresses: Vec::new() };
        while running.addresses.len() < address_count {
            let line = running.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it does not listen: {:?}", running.said));
            if let Some((_, address)) = line.split_once("listening on http://") {
                let address = address.split(['"', ' ']).next().expect("a first part");
                running.addresses.push(address.parse().expect("an address"));
            }
            running.said.push(line);
        }
        running
    }

    fn connect(&self) -> Connection {
        Connection::to(self.addresses[0])
    }

    fn get(&self, path: &str) -> Answer {
        self.connect().get(path)
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.get("/-/status.json").body).expect("JSON")
    }

    fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(sent.success(), "the process is there");
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for its end; gives its status and all that it said.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(since.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        (status.code(), core::mem::take(&mut self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mainspring(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring"));
    command.args(args).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the binary to its end, which must come by itself.
fn run(args: &[&str]) -> Output {
    let mut running = Running {
        child: mainspring(args).spawn().expect("the binary starts"),
        lines: channel().1,
        said: Vec::new(),
        addresses: Vec::new(),
    };
    let since = Instant::now();
    while running.is_running() {
        assert!(since.elapsed() < PATIENCE, "{args:?}: it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut output = Output {
        status: running.child.wait().expect("it has ended"),
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    stdout.expect("it is piped").read_to_end(&mut output.stdout).expect("it can be read");
    stderr.expect("it is piped").read_to_end(&mut output.stderr).expect("it can be read");
    output
}

/// A response.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        core::str::from_utf8(&self.body).expect("text")
    }
}

/// A connection to a server.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
        Self(BufReader::new(stream))
    }

    fn say(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).expect("the server reads");
    }

    fn get(&mut self, path: &str) -> Answer {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.answer()
    }

    /// The next answer; those of the binary have a length.
    fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).expect("it answers") > 0, "cut off: {head}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length = length.lines().next().expect("a line").parse().expect("a number");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("it is whole");
        Answer { status: status.expect("a status"), head, body }
    }

    /// The server closes, in good order and without a word.
    fn closes(&mut self) {
        assert_eq!(self.0.read(&mut [0]).expect("no reset"), 0, "a close, and nothing said");
    }
}

/// A folder with files, and a secret beside it. Dropping it removes it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let top = std::env::temp_dir().join(format!("mainspring-{name}-{}", std::process::id()));
        let folder = Self(top);
        fs::create_dir_all(folder.0.join("public/docs")).expect("a place for files");
        for (path, text) in [
            ("secret", "secret"),
            ("public/index.html", "<h1>front</h1>"),
            ("public/docs/index.html", "<h1>docs</h1>"),
            ("public/.env", "secret"),
        ] {
            fs::write(folder.0.join(path), text).expect("a place for files");
        }
        std::os::unix::fs::symlink("../secret", folder.0.join("public/link")).expect("a link");
        folder
    }

    fn root(&self) -> String {
        self.0.join("public").to_str().expect("a plain name").to_owned()
    }

    /// Adds a file that no buffer holds.
    fn add_big(&self) {
        fs::write(self.0.join("public/big.bin"), vec![b'x'; BIG_BYTES]).expect("there is room");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Without a configuration it serves its page, says that it is well, and knows nothing else.
#[test]
fn it_serves_without_a_configuration() {
    let server = Running::start(&ANY, 1);
    for path in ["/", "/-/status"] {
        let page = server.get(path);
        assert_eq!(page.status, 200);
        assert!(page.head.contains("content-type: text/html"), "{}", page.head);
        assert!(page.text().contains("</html>"), "a whole page");
        for elsewhere in ["http://", "https://", "src=\"//"] {
            assert!(!page.text().contains(elsewhere), "the page asks elsewhere: {elsewhere}");
        }
    }
    let health = server.get("/healthz");
    assert_eq!((health.status, health.text()), (200, "ok\n"));
    assert_eq!(server.get("/missing").status, 404);
    let mut connection = server.connect();
    connection.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    let refused = connection.answer();
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("allow: GET, HEAD"), "{}", refused.head);
    assert_eq!(connection.get("/healthz").status, 200, "the connection goes on");
}

/// Each line of the metrics is a comment or a sample, announced once, with a number.
#[test]
fn metrics_are_well_formed() {
    let server = Running::start(&ANY, 1);
    let metrics = server.get("/metrics");
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    let mut announced = BTreeSet::new();
    let mut samples = BTreeSet::new();
    for line in metrics.text().lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(announced.insert(name.to_owned()), "announced twice: {name}");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').expect("a name and a value");
            value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(samples.insert(series.to_owned()), "twice: {series}");
            let name = series.split('{').next().expect("a first part");
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_announced =
                announced.contains(name) || family.is_some_and(|name| announced.contains(name));
            assert!(is_announced, "{line}");
        }
    }
    assert!(samples.contains("mainspring_responses_total{class=\"2xx\"}"), "{samples:?}");
}

/// The numbers of the page move with what happens.
#[test]
fn numbers_move() {
    let server = Running::start(&[&ANY[..], &["--workers", "1"]].concat(), 1);
    let before = server.status();
    let mut stays = server.connect();
    for _ in 0..5 {
        stays.get("/missing");
    }
    server.connect().say("nonsense\r\n\r\n");
    let since = Instant::now();
    let after = loop {
        let status = server.status();
        if status["requests"]["rejected"] == 1 || since.elapsed() > PATIENCE {
            break status;
        }
    };
    let number = |status: &serde_json::Value, pointer| {
        status.pointer(pointer).and_then(serde_json::Value::as_u64).expect(pointer)
    };
    let moved = |pointer| number(&after, pointer) - number(&before, pointer);
    assert!(moved("/connections/accepted") >= 3);
    assert!(moved("/requests/total") >= 6);
    assert_eq!(moved("/requests/rejected"), 1);
    assert_eq!(moved("/responses/3"), 6, "five were not found, one was refused");
    assert!(number(&after, "/connections/open") >= 2);
    assert!(number(&after, "/tasks/live") >= 4);
    assert_eq!(number(&after, "/shards"), 1);
}

/// The files of a folder are served, and nothing beside it or hidden in it.
#[test]
fn it_serves_a_folder_and_nothing_else() {
    let folder = Folder::new("folder");
    let server = Running::start(&[&ANY[..], &["--root", &folder.root()]].concat(), 1);
    let check = |path: &str, status: u16, body: &str| {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains(body), "{path}: {}", answer.text());
        assert!(!answer.text().contains("secret"), "{path}: {}", answer.text());
    };
    check("/", 200, "<h1>front</h1>");
    check("/docs/", 200, "<h1>docs</h1>");
    check("/docs", 301, "");
    check("/healthz", 200, "ok");
    check("/-/status", 200, "</html>");
    for path in [
        "/../secret",
        "/docs/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/link",
        "/.env",
        "/index.html/x",
        "/missing",
    ] {
        check(path, 404, "404");
    }
}

/// Two addresses, two threads, one server.
#[test]
fn it_listens_and_works_more_than_once() {
    let args = [&ANY[..], &ANY[..], &["--workers", "2"]].concat();
    let server = Running::start(&args, 2);
    assert_eq!(server.addresses.len(), 2);
    assert_ne!(server.addresses[0], server.addresses[1]);
    for address in &server.addresses {
        for _ in 0..10 {
            assert_eq!(Connection::to(*address).get("/healthz").status, 200);
        }
    }
    let status = server.status();
    assert_eq!(status["shards"], 2);
    server.terminate();
    assert_eq!(server.end().0, Some(0));
}

/// Each line of the log is one JSON object, from the first to the last.
#[test]
fn the_log_may_be_json() {
    let server = Running::start(&[&ANY[..], &["--log", "json"]].concat(), 1);
    server.get("/");
    server.terminate();
    let (status, said) = server.end();
    assert_eq!(status, Some(0));
    assert!(said.len() >= 2, "{said:?}");
    for line in said {
        let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "no {field}: {line}");
        }
    }
}

/// What cannot be meant: status 2, and one line that says why.
#[test]
fn nonsense_is_one_line_and_status_2() {
    let folder = Folder::new("nonsense");
    let file = folder.root() + "/index.html";
    for (args, word) in [
        (&["--flag"][..], "--flag"),
        (&["--listen", "here"], "here"),
        (&["--workers", "0"], "0"),
        (&["--log", "xml"], "xml"),
        (&["dance"], "dance"),
        (&["--root"], "--root"),
        (&["--root", "/no/such/folder"], "/no/such/folder"),
        (&["--root", &file], "index.html"),
    ] {
        let output = run(&[&ANY[..], args].concat());
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(said.contains(word), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

/// A port in use: status 1, and one line that says so; also when both would share it among their threads.
#[test]
fn a_port_in_use_is_one_line_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = Running::start(&[&ANY[..], &["--workers", "3"]].concat(), 1);
    for address in [taken.local_addr().expect("it listens"), server.addresses[0]] {
        for workers in ["1", "3"] {
            let address = address.to_string();
            let output = run(&["--listen", &address, "--workers", workers]);
            let said = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains(&address) && said.contains("in use"), "{said}");
        }
    }
    assert_eq!(server.get("/healthz").status, 200, "who was first serves on");
}

/// SIGTERM: what is idle is closed at once, what runs ends, and then the process does, with status 0.
#[test]
fn sigterm_drains() {
    let folder = Folder::new("drain");
    folder.add_big();
    let root = folder.root();
    for workers in ["1", "4"] {
        let args = [&ANY[..], &["--root", &root, "--workers", workers]].concat();
        let mut server = Running::start(&args, 1);
        let mut idle = server.connect();
        assert_eq!(idle.get("/healthz").status, 200);
        let mut begun = server.connect();
        begun.say("GET /heal");
        let mut loading = server.connect();
        loading.say("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        loading.0.fill_buf().expect("it begins");
        server.terminate();
        let since = Instant::now();
        idle.closes();
        assert!(since.elapsed() < Duration::from_secs(5), "at once");
        assert!(server.is_running(), "it waits for what runs");
        begun.say("thz HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = begun.answer();
        assert_eq!((answer.status, answer.head.contains("connection: close")), (200, true));
        begun.closes();
        assert!(server.is_running(), "it waits for what runs");
        assert_eq!(loading.answer().body.len(), BIG_BYTES);
        loading.closes();
        drop((idle, begun, loading));
        let (status, said) = server.end();
        assert_eq!(status, Some(0), "{said:?}");
        assert!(said.last().expect("a last word").contains("all connections in good order"));
    }
}

/// Whoever reads that it listens may connect, and may end it: all of its threads are there.
#[test]
fn it_listens_when_it_says_so() {
    for _ in 0..5 {
        let server = Running::start(&[&ANY[..], &["--workers", "64"]].concat(), 1);
        assert_eq!(server.get("/healthz").status, 200);
        server.terminate();
        let (status, said) = server.end();
        assert_eq!(status, Some(0), "{said:?}");
    }
}

/// A second SIGTERM stops at once, whatever runs.
#[test]
fn a_second_sigterm_stops() {
    let folder = Folder::new("second");
    folder.add_big();
    let server = &mut Running::start(&[&ANY[..], &["--root", &folder.root()]].concat(), 1);
    let mut loading = server.connect();
    loading.say("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    loading.0.fill_buf().expect("it begins");
    server.terminate();
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.is_running(), "it waits for what runs");
    let since = Instant::now();
    server.terminate();
    while server.is_running() {
        assert!(since.elapsed() < Duration::from_secs(10), "it does not stop");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.child.wait().expect("it has ended").code(), Some(0));
}

/// Help and version go to standard output; nobody need read them to their end.
#[test]
fn help_is_given() {
    for (args, word) in [(["--help"], "--listen"), (["--version"], "mainspring ")] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).expect("text").contains(word));
        assert!(output.stderr.is_empty());
        let mut child = mainspring(&args).spawn().expect("the binary starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "nobody listens");
    }
}
