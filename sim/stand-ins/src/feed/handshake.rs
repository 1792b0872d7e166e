//! The handshake: an HTTP request that asks for WebSocket, and the answer that changes to it (RFC 6455 §4.2).

use std::io::{self, ErrorKind};

use http::StatusCode;
use tungstenite::handshake::derive_accept_key;

use super::{Feed, FeedBehaviour, FeedQuestion};
use crate::call::Call;

/// The longest head, in bytes, and the most fields in it.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;

/// Whether the connection speaks WebSocket from here on.
pub(super) async fn accept(call: &mut Call<Feed>) -> io::Result<bool> {
    let Some((target, key)) = request(call).await? else { return Ok(false) };
    call.ask(FeedQuestion::Upgrade(target))?;
    let own = call.own(|own| match own {
        FeedBehaviour::Refuse(status) => Some(Err(*status)),
        FeedBehaviour::WrongKey => Some(Ok(())),
        _ => None,
    });
    let is_beyond_limit = call.is_beyond_limit();
    let key = match (key, own) {
        _ if is_beyond_limit => return refuse(call, StatusCode::SERVICE_UNAVAILABLE).await,
        (_, Some(Err(status))) => return refuse(call, status).await,
        (None, _) => return refuse(call, StatusCode::UPGRADE_REQUIRED).await,
        (Some(key), Some(Ok(()))) => derive_accept_key(&[key.as_slice(), b"!"].concat()),
        (Some(key), None) => derive_accept_key(&key),
    };
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {key}\r\n\r\n"
    );
    call.send(head.as_bytes()).await?;
    Ok(true)
}

async fn refuse(call: &mut Call<Feed>, status: StatusCode) -> io::Result<bool> {
    let reason = status.canonical_reason().unwrap_or_default();
    let upgrade = match status {
        StatusCode::UPGRADE_REQUIRED => "upgrade: websocket\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {} {reason}\r\n{upgrade}content-length: 0\r\nconnection: close\r\n\r\n",
        status.as_str()
    );
    call.answer(head.as_bytes()).await?;
    Ok(false)
}

/// The target of the request, and the key where it asks for WebSocket; `None` at the client's end.
async fn request(call: &mut Call<Feed>) -> io::Result<Option<(String, Option<Vec<u8>>)>> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut fields);
        let status = parsed.parse(call.received()).map_err(|_| ErrorKind::InvalidData)?;
        if let httparse::Status::Complete(count) = status {
            let target = parsed.path.unwrap_or_default().to_owned();
            let field = |name: &str| {
                let mut fields = parsed.headers.iter();
                fields.find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
            };
            let asks = field("upgrade").is_some_and(|to| to.eq_ignore_ascii_case(b"websocket"));
            let key = field("sec-websocket-key").filter(|_| asks).map(<[u8]>::to_vec);
            call.consume(count);
            return Ok(Some((target, key)));
        }
        if call.received().len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        if call.receive().await? == 0 {
            return Ok(None);
        }
    }
}
