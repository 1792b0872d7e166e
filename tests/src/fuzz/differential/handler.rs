//! The handler of both servers: it reads the whole of a request, notes it, and answers with its description.

use core::future::poll_fn;
use core::pin::Pin;
use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;

use super::seen::{Seen, fields};

/// What the handler got, in order. The last may be one whose body did not come to its end.
pub(super) type Notes = Rc<RefCell<Vec<Seen>>>;

/// Reads the body of a request, of which the head is in `seen`; what to answer. A body that breaks gets 400: what else
/// there is to say of it, the server knows better.
pub(super) async fn answer<B>(seen: Seen, mut body: B, notes: &Notes) -> (StatusCode, Vec<u8>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let index = notes.borrow().len();
    notes.borrow_mut().push(seen);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else {
            return (StatusCode::BAD_REQUEST, notes.borrow()[index].description());
        };
        let seen = &mut notes.borrow_mut()[index];
        match frame.into_data() {
            Ok(data) => seen.body.extend_from_slice(&data),
            Err(frame) => {
                seen.trailers =
                    frame.into_trailers().map(|trailers| fields(&trailers)).unwrap_or_default();
            }
        }
    }
    let seen = &mut notes.borrow_mut()[index];
    seen.is_whole = true;
    (StatusCode::OK, seen.description())
}
