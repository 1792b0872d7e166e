//! Files: what a path names and what it does not, big ones piece by piece, and a disk that has too much to do.

use core::time::Duration;
use std::rc::Rc;

use futures::join;
use mainspring::app::FileServer;
use mainspring::{Handler, Request, Server};
use mainspring_executor::time::sleep;

use crate::stage::{Case, Machines, Stage};
use crate::wire::{End, get, request, rest};

/// Bytes of the big file: several reads, the last one short.
const BIG: usize = 300_001;

static BIG_FILE: [u8; BIG] = {
    let mut bytes = [0; BIG];
    let mut place = 0;
    while place < BIG {
        bytes[place] = b"abcdefghijklmnopqrstuvw"[place % 23];
        place += 1;
    }
    bytes
};

const FILES: &[(&str, &[u8])] = &[
    ("index.html", b"<h1>front</h1>"),
    ("docs/index.html", b"<h1>docs</h1>"),
    ("docs/a b.txt", b"spaced"),
    ("empty/nothing.txt", b""),
    ("big.bin", &BIG_FILE),
    (".git/config", b"secret"),
    (".env", b"secret"),
    (".well-known/security.txt", b"contact"),
];

fn server(_: &Stage) -> Server<impl Handler + use<>> {
    let files = Rc::new(FileServer::new("/srv".into()));
    Server::new(move |request: Request| {
        let files = Rc::clone(&files);
        async move { files.serve(request.uri().path()).await }
    })
}

/// A path names a file, the index of a folder, or nothing; never what lies outside, and nothing hidden.
#[test]
fn a_path_names_a_file_or_nothing() {
    Case::new(server).on(Machines::Simulated).with_files(FILES).check(|stage| async move {
        let mut client = stage.connect().await;
        for (path, status, body) in [
            ("/", 200, "<h1>front</h1>"),
            ("/index.html", 200, "<h1>front</h1>"),
            ("/?query", 200, "<h1>front</h1>"),
            ("/docs/", 200, "<h1>docs</h1>"),
            ("/docs/a%20b.txt", 200, "spaced"),
            ("//docs//a%20b.txt", 200, "spaced"),
            ("/empty/nothing.txt", 200, ""),
            ("/.well-known/security.txt", 200, "contact"),
            ("/docs/a%20b.txt/", 404, "404 Not Found\n"),
            ("/index.html/more", 404, "404 Not Found\n"),
            ("/empty/", 404, "404 Not Found\n"),
            ("/missing", 404, "404 Not Found\n"),
            ("/../srv/index.html", 404, "404 Not Found\n"),
            ("/docs/../index.html", 404, "404 Not Found\n"),
            ("/%2e%2e/srv/index.html", 404, "404 Not Found\n"),
            ("/docs%2findex.html", 404, "404 Not Found\n"),
            ("/index.html%00", 404, "404 Not Found\n"),
            ("/.git/config", 404, "404 Not Found\n"),
            ("/.env", 404, "404 Not Found\n"),
        ] {
            let answer = client.exchange(get(path).as_bytes(), false).await.expect("an answer");
            let text = String::from_utf8(answer.body).expect("text");
            assert_eq!((answer.status, &*text), (status, body), "{path}");
        }
        for (path, location) in [("/docs", "/docs/"), ("//docs", "/docs/")] {
            let answer = client.exchange(get(path).as_bytes(), false).await.expect("an answer");
            assert_eq!((answer.status, answer.field("location")), (301, Some(location)), "{path}");
        }
    });
}

/// A file says what it is and when it changed, and HEAD says the same without it.
#[test]
fn a_file_says_what_it_is() {
    Case::new(server).on(Machines::Simulated).with_files(FILES).check(|stage| async move {
        let mut client = stage.connect().await;
        for (path, content_type, length) in [
            ("/index.html", "text/html; charset=utf-8", "14"),
            ("/big.bin", "application/octet-stream", "300001"),
            ("/.well-known/security.txt", "text/plain; charset=utf-8", "7"),
        ] {
            for method in ["GET", "HEAD"] {
                let request = request(method, path, "");
                let answer = client.exchange(request.as_bytes(), method == "HEAD").await;
                let answer = answer.expect("an answer");
                assert_eq!(answer.field("content-type"), Some(content_type));
                assert_eq!(answer.field("content-length"), Some(length));
                assert_eq!(answer.field("last-modified"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
                assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
            }
        }
    });
}

/// A big file comes whole, and is read no faster than its client reads.
#[test]
fn a_big_file_is_streamed() {
    Case::new(server).on(Machines::Simulated).with_files(FILES).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(get("/big.bin").as_bytes()).await.expect("the server reads");
        sleep(Duration::from_secs(5)).await;
        let answer = client.answer(false).await.expect("an answer");
        assert!(answer.body == BIG_FILE, "{} bytes, or other ones", answer.body.len());
        let answer = client.exchange(get("/index.html").as_bytes(), false).await;
        assert_eq!(answer.expect("an answer").status, 200);
    });
}

/// A disk with too much to do: 503 for who comes then; a while later all is well.
#[test]
fn a_busy_disk_is_a_503() {
    let case = Case::new(server).on(Machines::Calm).with_files(FILES);
    case.adjusted(|config| (config.blocking_threads_max, config.jobs_waiting_max) = (1, 0)).check(
        |stage| async move {
            let mut one = stage.connect().await;
            let mut two = stage.connect().await;
            let request = get("/index.html");
            let (first, second) = join!(
                one.exchange(request.as_bytes(), false),
                two.exchange(request.as_bytes(), false)
            );
            let statuses = [first.expect("an answer").status, second.expect("an answer").status];
            assert_eq!(statuses, [200, 503]);
            let answer = two.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.status, 200, "the connection went on");
        },
    );
}

/// Downloads that have begun wait for each other at a busy disk: none is cut.
#[test]
fn a_busy_disk_cuts_no_download() {
    let case = Case::new(server).on(Machines::Simulated).with_files(FILES);
    let case = case.adjusted(|config| {
        (config.blocking_threads_max, config.jobs_waiting_max) = (1, 0);
        // Slower than the network, so that each read meets another.
        config.job_duration = Duration::from_millis(20)..=Duration::from_millis(30);
    });
    case.check(|stage| async move {
        let download = async || {
            let mut client = stage.connect().await;
            loop {
                let answer = client.exchange(get("/big.bin").as_bytes(), false).await;
                let answer = answer.expect("an answer, and a whole one");
                if answer.status == 200 {
                    assert!(answer.body == BIG_FILE, "{} bytes, or other ones", answer.body.len());
                    return;
                }
                assert_eq!(answer.status, 503, "who has not begun is refused");
                sleep(Duration::from_millis(7)).await;
            }
        };
        join!(download(), download(), download(), download());
    });
}

/// A client that leaves in the middle of a download leaves no open file behind.
#[test]
fn a_download_that_is_left_is_closed() {
    Case::new(server).on(Machines::Simulated).with_files(FILES).check(|stage| async move {
        for millis in 0..30 {
            let mut client = stage.connect().await;
            client.send(get("/big.bin").as_bytes()).await.expect("the server reads");
            sleep(Duration::from_millis(millis)).await;
            if millis % 2 == 0 {
                client.abort();
            } else {
                client.stream().shutdown_write().expect("it is connected");
                let (bytes, end) = rest(&mut client).await;
                let is_part = !bytes.is_empty() && bytes.len() < BIG;
                assert!(!is_part || end == End::Reset, "a part must not look whole");
            }
        }
    });
}
