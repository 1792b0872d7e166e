//! Unix sockets on the operating system, by each of its pollers: what only real paths and real peers can show.
#![expect(clippy::disallowed_methods, reason = "it looks at paths from outside of the program")]

use std::fs;
use std::io::{ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use futures::future::join;
use futures::poll;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{UnixListener, UnixStream};
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType,
};

use crate::worlds::on_both;

/// A folder of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("mainspring-unix-{name}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).expect("a folder for a test");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    UnixListener::bind(path, ListenOptions::default())
}

/// A socket whose program knows nothing of us.
fn foreign() -> rustix::fd::OwnedFd {
    rustix::net::socket(rustix::net::AddressFamily::UNIX, SocketType::STREAM, None)
        .expect("sockets enough")
}

#[test]
fn a_listener_removes_its_own_path_only() {
    on_both(|| async {
        let folder = Folder::new("own-path");
        let path = folder.path("socket");
        let listener = bind(&path).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        drop(listener);
        assert!(!path.exists(), "it made the path, and takes it along");
        // Moved away, and another one put in its place.
        let listener = bind(&path).unwrap();
        fs::rename(&path, folder.path("moved")).unwrap();
        let successor = bind(&path).unwrap();
        drop(listener);
        assert!(path.exists(), "this is the successor's");
        let (client, server) = join(UnixStream::connect(&path), successor.accept()).await;
        drop((client.unwrap(), server.unwrap()));
        drop(successor);
        assert!(!path.exists());
    });
}

#[test]
fn a_path_that_was_left_behind_is_in_use_and_refuses() {
    // Of a program that was killed, say: nobody listens, and the path is still there.
    on_both(|| async {
        let folder = Folder::new("left-behind");
        let path = folder.path("socket");
        let killed = foreign();
        rustix::net::bind(&killed, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        drop(killed);
        let refused = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        fs::remove_file(&path).unwrap();
        drop(bind(&path).unwrap());
    });
}

#[test]
fn the_path_of_a_peer_that_has_one_is_known() {
    on_both(|| async {
        let folder = Folder::new("named-peer");
        let listener = bind(&folder.path("socket")).unwrap();
        let peer = foreign();
        rustix::net::bind(&peer, &SocketAddrUnix::new(folder.path("peer")).unwrap()).unwrap();
        rustix::net::connect(&peer, &SocketAddrUnix::new(folder.path("socket")).unwrap()).unwrap();
        let (server, address) = listener.accept().await.unwrap();
        assert_eq!(address.path(), Some(&*folder.path("peer")));
        assert_eq!(server.peer_path(), Some(&*folder.path("peer")));
    });
}

#[test]
fn a_read_that_ends_at_a_descriptor_is_not_the_end_of_what_is_there() {
    // A short read that stopped where a descriptor came along: the bytes behind it make no edge of their own.
    on_both(|| async {
        let folder = Folder::new("descriptor");
        let listener = bind(&folder.path("socket")).unwrap();
        let peer = foreign();
        rustix::net::connect(&peer, &SocketAddrUnix::new(folder.path("socket")).unwrap()).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [peer.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let first = [IoSlice::new(b"first")];
        rustix::net::sendmsg(&peer, &first, &mut control, SendFlags::empty()).unwrap();
        rustix::net::send(&peer, b"second", SendFlags::empty()).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        while received.len() < b"firstsecond".len() {
            assert!(server.fill().await.unwrap() > 0);
            received.extend_from_slice(server.buffered());
            server.consume(server.buffered().len());
        }
        assert_eq!(received, b"firstsecond");
        assert!(poll!(Box::pin(server.fill())).is_pending());
    });
}
