//! `FileServer`: the files of a folder, read through the driver's jobs, so that a slow disk stalls only who asked.
//!
//! It does not decide what is inside the folder: the driver refuses whatever leads out.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION};
use mainspring_executor::driver::Exhausted;
use mainspring_executor::file::File;
use percent_encoding::percent_decode_str;

use crate::{Body, IntoResponse, Response};

/// Bytes read at a time: one job each, and the memory that a download holds.
const READ_BYTES: usize = 64 * 1024;

/// Serves files for `GET` and `HEAD`.
///
/// A folder is answered with its `index.html`. Names that begin with a dot are not served, except `.well-known`: they
/// are where tools keep what is not meant for the public (`.git`, `.env`).
pub struct FileServer {
    root: PathBuf,
}

impl FileServer {
    /// Serves what is below the folder `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The file at the path of a request target, which begins with `/`.
    pub async fn serve(&self, path: &str) -> Response {
        let Some(relative) = file_path(path) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        match self.open(path, relative).await {
            Ok(response) => response,
            Err(error) => failure(&error),
        }
    }

    async fn open(&self, path: &str, mut relative: PathBuf) -> io::Result<Response> {
        let mut file = File::open(self.root.clone(), relative.clone()).await?;
        match (file.is_folder(), path.ends_with('/')) {
            (true, true) => {
                relative.push("index.html");
                file = File::open(self.root.clone(), relative.clone()).await?;
                if file.is_folder() {
                    return Err(io::ErrorKind::NotFound.into());
                }
            }
            // Without the slash, relative links of the index would point beside the folder.
            (true, false) => return Ok(redirect_to_folder(path)),
            (false, true) => return Err(io::ErrorKind::NotFound.into()),
            (false, false) => {}
        }
        let mime = mime_guess::from_path(&relative).first_or_octet_stream();
        Ok(download(file, mime.essence_str()))
    }
}

/// The relative path of a request path, decoded; `None` for what names no file.
fn file_path(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let part = percent_decode_str(part).decode_utf8().ok()?;
        let is_hidden = part.starts_with('.') && part != ".well-known";
        // A separator that was encoded is part of a name, and no name has one; nor a NUL.
        if is_hidden || part.contains(['/', '\\', '\0']) {
            return None;
        }
        relative.push(&*part);
    }
    Some(relative)
}

fn redirect_to_folder(path: &str) -> Response {
    let mut response = StatusCode::MOVED_PERMANENTLY.into_response();
    // One slash at the front: with two it would name a host.
    let location = format!("/{}/", path.trim_matches('/'));
    match HeaderValue::try_from(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Streams a file. If it shrinks meanwhile, the response is cut, as its length was promised.
fn download(file: File, content_type: &str) -> Response {
    let length = file.length();
    let modified = std::time::UNIX_EPOCH + file.modified();
    let pieces = stream::try_unfold((file, 0), move |(file, offset)| async move {
        let rest = usize::try_from(length - offset).unwrap_or(usize::MAX);
        if rest == 0 {
            return Ok::<_, io::Error>(None);
        }
        let bytes = file.read_at(offset, rest.min(READ_BYTES)).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let next = offset + bytes.len() as u64;
        Ok(Some((Bytes::from(bytes), (file, next))))
    });
    let mut response = Response::new(Body::stream(Some(length), pieces));
    let headers = response.headers_mut();
    let text = match content_type.starts_with("text/") {
        true => format!("{content_type}; charset=utf-8"),
        false => content_type.to_owned(),
    };
    let modified = httpdate::fmt_http_date(modified);
    for (name, value) in [(CONTENT_TYPE, text), (LAST_MODIFIED, modified)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    // What we say it is, it is: a browser must not guess otherwise.
    let nosniff = HeaderName::from_static("x-content-type-options");
    headers.insert(nosniff, HeaderValue::from_static("nosniff"));
    response
}

fn failure(error: &io::Error) -> Response {
    match error.kind() {
        // A path that goes through a file, or leads out, names nothing here.
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::InvalidFilename => StatusCode::NOT_FOUND.into_response(),
        _ if Exhausted::is(error) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => {
            tracing::error!("a file cannot be read: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_and_kept_inside() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(file_path(path), expect.map(PathBuf::from), "{path}");
        };
        check("/", Some(""));
        check("/a/b.txt", Some("a/b.txt"));
        check("//a//b", Some("a/b"));
        check("/with%20space", Some("with space"));
        check("/.well-known/x", Some(".well-known/x"));
        check("/..", None);
        check("/a/../b", None);
        check("/%2e%2e/b", None);
        check("/a%2fb", None);
        check("/a%00b", None);
        check("/a%5cb", None);
        check("/.git/config", None);
        check("/%ff", None);
    }
}
