//! The case files of HTTP/1.1, `tests/data/http1/*.txt`: what a client says, what the handler is told, what is answered,
//! and whether the connection goes on.
//!
//! ```text
//! case smuggled-by-length                a name, distinct in all files
//! rfc 9112 §6.3                          where it is asked for
//! why One line of reason.                optional
//! limits body_bytes_max=10               optional: the limits of the server that differ from the default
//! each plus +5                           optional, often: the case once for each, as `name/plus`, with `+5` for `$`
//! pending What is missing.               optional: it does not hold yet, and must not
//!
//! > POST / HTTP/1.1                      a line, and its CRLF
//! > Content-Length: $
//! >                                      the empty line
//! >- hello                               bytes without a CRLF
//! wait 100                               the client waits for 100 (Continue)
//! fin                                    the client ends its side
//! repeat 300                             all that is expected is expected so many times
//!
//! = POST /                               a request that the handler gets; HTTP/1.1 unless it says HTTP/1.0
//! =   x: value                           all values of a field of it, in order; `no x`: there is none
//! =   body hello                         its body, otherwise empty
//! =   trailer x: value                   all its trailers
//! =   broken                             its body does not come to its end
//! < 100                                  an interim answer; `100?` where it may come
//! < 200                                  an answer; the connection goes on
//! < 400 close                            an answer that says `Connection: close`, and then the end
//! <   allow: GET                         a field of it; `no allow`: there is none
//! <   body ok                            its content, if it matters
//! <   trailer x: value                   its trailers
//! closed                                 the end, though no answer said so
//! ```
//! Bytes are written as text with `\r`, `\n`, `\t`, `\0`, `\s` (a space), `\\`, `\{`, `\$`, `\xHH`, and `{N*text}` for so many
//! repetitions. What the handler answers, the query of the request says: see `plan`.
//!
//! Behind every case stands one more request, in the same bytes: where the connection goes on, it must be served; where
//! it ends, it must not. So each case shows where the connection stands after it.

pub(crate) mod answers;
mod case;
pub(crate) mod client;
mod codec;
mod delivery;
mod judge;
mod notation;
mod parse;
mod plan;
mod served;

pub use case::Case;
pub use codec::check_codec;
pub use delivery::Delivery;
pub use parse::parse;
pub use served::{Room, check_on_os, check_simulated};
