//! What the commands on keys do. Commands on the connection are the session's.

use core::time::Duration;

use redis_protocol::resp2::types::OwnedFrame;

use super::store::{Store, Value, WrongType};
use super::{bulk, error, integer, ok};

/// How a command treats keys, which decides who refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Needs none.
    None,
    Reads,
    /// Writes, and may need memory for it.
    Writes,
    /// Writes, and gives memory back.
    Frees,
}

const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";

/// A command that has this name: how many words it takes at least and at most, itself among them, and what it does to keys.
pub(super) fn known(name: &str) -> Option<(usize, usize, Effect)> {
    const MANY: usize = usize::MAX;
    Some(match name {
        "PING" => (1, 2, Effect::None),
        "ECHO" => (2, 2, Effect::None),
        "DBSIZE" => (1, 1, Effect::Reads),
        "GET" | "TTL" | "PTTL" | "LLEN" | "HGETALL" | "STRLEN" => (2, 2, Effect::Reads),
        "HGET" => (3, 3, Effect::Reads),
        "LRANGE" => (4, 4, Effect::Reads),
        "MGET" | "EXISTS" => (2, MANY, Effect::Reads),
        "SET" => (3, MANY, Effect::Writes),
        "SETEX" => (4, 4, Effect::Writes),
        "MSET" => (3, MANY, Effect::Writes),
        "INCR" | "DECR" => (2, 2, Effect::Writes),
        "INCRBY" | "APPEND" => (3, 3, Effect::Writes),
        "LPUSH" | "RPUSH" => (3, MANY, Effect::Writes),
        "HSET" => (4, MANY, Effect::Writes),
        "LPOP" | "RPOP" => (2, 2, Effect::Frees),
        "DEL" | "UNLINK" => (2, MANY, Effect::Frees),
        "HDEL" => (3, MANY, Effect::Frees),
        "EXPIRE" | "PEXPIRE" => (3, 3, Effect::Frees),
        "FLUSHALL" | "FLUSHDB" => (1, 2, Effect::Frees),
        _ => return None,
    })
}

/// Does a known command with a right number of words, and gives its reply.
pub(super) fn execute(store: &mut Store, name: &str, words: &[Vec<u8>]) -> OwnedFrame {
    match on_keys(store, name, &words[1..]) {
        Ok(reply) => reply,
        Err(WrongType) => {
            error("WRONGTYPE Operation against a key holding the wrong kind of value")
        }
    }
}

fn on_keys(store: &mut Store, name: &str, args: &[Vec<u8>]) -> Result<OwnedFrame, WrongType> {
    let key: &[u8] = args.first().map_or(&[], Vec::as_slice);
    Ok(match name {
        "PING" => {
            args.first().map_or(OwnedFrame::SimpleString(b"PONG".to_vec()), |text| bulk(text))
        }
        "ECHO" => bulk(key),
        "DBSIZE" => integer(store.len()),
        "FLUSHALL" | "FLUSHDB" => {
            store.clear();
            ok()
        }
        "GET" => or_nil(string(store, key)?),
        "STRLEN" => integer(string(store, key)?.map_or(0, |text| text.len())),
        "MGET" => {
            let values = args.iter().map(|key| or_nil(string(store, key).unwrap_or(None)));
            OwnedFrame::Array(values.collect())
        }
        "SET" => set(store, args),
        "SETEX" => match seconds(&args[1]) {
            Some(time) if !time.is_zero() => {
                store.set(args[0].clone(), args[2].clone());
                store.expire(key, time);
                ok()
            }
            Some(_) => error("ERR invalid expire time in 'setex' command"),
            None => error(NOT_INTEGER),
        },
        "MSET" if args.len() % 2 == 1 => error("ERR wrong number of arguments for 'mset' command"),
        "MSET" => {
            for pair in args.chunks(2) {
                store.set(pair[0].clone(), pair[1].clone());
            }
            ok()
        }
        "INCR" => add(store, key, 1)?,
        "DECR" => add(store, key, -1)?,
        "INCRBY" => match number(&args[1]) {
            Some(by) => add(store, key, by)?,
            None => error(NOT_INTEGER),
        },
        "APPEND" => {
            let mut text = string(store, key)?.unwrap_or_default();
            text.extend_from_slice(&args[1]);
            let length = text.len();
            store.put(key, text);
            integer(length)
        }
        "DEL" | "UNLINK" => integer(args.iter().filter(|key| store.remove(key)).count()),
        "EXISTS" => integer(args.iter().filter(|key| store.get(key).is_some()).count()),
        "EXPIRE" | "PEXPIRE" => match number(&args[1]) {
            Some(count) => {
                let count = u64::try_from(count).unwrap_or(0);
                let time = match name {
                    "EXPIRE" => Duration::from_secs(count),
                    _ => Duration::from_millis(count),
                };
                integer(usize::from(store.expire(key, time)))
            }
            None => error(NOT_INTEGER),
        },
        "TTL" | "PTTL" => OwnedFrame::Integer(match store.time_left(key) {
            None => -2,
            Some(None) => -1,
            // Rounded to the nearest second, as the real one does it.
            Some(Some(left)) if name == "TTL" => millis(left).saturating_add(500) / 1000,
            Some(Some(left)) => millis(left),
        }),
        _ => return on_collections(store, name, key, &args[1..]),
    })
}

fn on_collections(
    store: &mut Store,
    name: &str,
    key: &[u8],
    args: &[Vec<u8>],
) -> Result<OwnedFrame, WrongType> {
    Ok(match name {
        "LPUSH" | "RPUSH" => {
            let list = store.list(key)?;
            for value in args {
                match name {
                    "LPUSH" => list.push_front(value.clone()),
                    _ => list.push_back(value.clone()),
                }
            }
            integer(list.len())
        }
        "LPOP" | "RPOP" => {
            if store.get(key).is_none() {
                return Ok(OwnedFrame::Null);
            }
            let list = store.list(key)?;
            let popped = if name == "LPOP" { list.pop_front() } else { list.pop_back() };
            store.tidy(key);
            or_nil(popped)
        }
        "LLEN" => match store.get(key) {
            None => integer(0),
            Some(Value::List(list)) => integer(list.len()),
            Some(_) => return Err(WrongType),
        },
        "LRANGE" => match (store.get(key), number(&args[0]), number(&args[1])) {
            (_, None, _) | (_, _, None) => error(NOT_INTEGER),
            (None, ..) => OwnedFrame::Array(Vec::new()),
            (Some(Value::List(list)), Some(first), Some(last)) => {
                let (first, count) = range(first, last, list.len());
                let values = list.iter().skip(first).take(count);
                OwnedFrame::Array(values.map(|value| bulk(value)).collect())
            }
            (Some(_), ..) => return Err(WrongType),
        },
        "HSET" if args.len() % 2 == 1 => error("ERR wrong number of arguments for 'hset' command"),
        "HSET" => {
            let hash = store.hash(key)?;
            let before = hash.len();
            for pair in args.chunks(2) {
                hash.insert(pair[0].clone(), pair[1].clone());
            }
            integer(hash.len() - before)
        }
        "HDEL" => {
            let has_any = match store.get(key) {
                None => false,
                Some(Value::Hash(hash)) => args.iter().any(|field| hash.contains_key(field)),
                Some(_) => return Err(WrongType),
            };
            // What changes nothing is no write.
            if !has_any {
                return Ok(integer(0));
            }
            let hash = store.hash(key)?;
            let count = args.iter().filter(|field| hash.remove(*field).is_some()).count();
            store.tidy(key);
            integer(count)
        }
        "HGET" => match store.get(key) {
            None => OwnedFrame::Null,
            Some(Value::Hash(hash)) => or_nil(hash.get(&args[0]).cloned()),
            Some(_) => return Err(WrongType),
        },
        "HGETALL" => match store.get(key) {
            None => OwnedFrame::Array(Vec::new()),
            Some(Value::Hash(hash)) => {
                let pairs = hash.iter().flat_map(|(field, value)| [bulk(field), bulk(value)]);
                OwnedFrame::Array(pairs.collect())
            }
            Some(_) => return Err(WrongType),
        },
        _ => unreachable!("{name} is no known command"),
    })
}

fn string(store: &mut Store, key: &[u8]) -> Result<Option<Vec<u8>>, WrongType> {
    match store.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(WrongType),
    }
}

fn add(store: &mut Store, key: &[u8], by: i64) -> Result<OwnedFrame, WrongType> {
    let before = match string(store, key)? {
        None => Some(0),
        Some(text) => number(&text),
    };
    let Some(before) = before else { return Ok(error(NOT_INTEGER)) };
    let Some(sum) = before.checked_add(by) else {
        return Ok(error("ERR increment or decrement would overflow"));
    };
    store.put(key, sum.to_string().into_bytes());
    Ok(OwnedFrame::Integer(sum))
}

/// `SET key value [NX | XX] [EX seconds | PX milliseconds]`, the options in any order.
fn set(store: &mut Store, args: &[Vec<u8>]) -> OwnedFrame {
    let (mut expires, mut wanted) = (None, None);
    let mut options = args[2..].iter();
    while let Some(option) = options.next() {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" if wanted.is_none() => wanted = Some(false),
            b"XX" if wanted.is_none() => wanted = Some(true),
            unit @ (b"EX" | b"PX") if expires.is_none() => {
                let Some(text) = options.next() else { return error(SYNTAX) };
                let Some(count) = number(text) else { return error(NOT_INTEGER) };
                let count = u64::try_from(count).ok().filter(|count| *count > 0);
                let Some(count) = count else {
                    return error("ERR invalid expire time in 'set' command");
                };
                expires = Some(match unit {
                    b"EX" => Duration::from_secs(count),
                    _ => Duration::from_millis(count),
                });
            }
            _ => return error(SYNTAX),
        }
    }
    if wanted.is_some_and(|wanted| store.get(&args[0]).is_some() != wanted) {
        return OwnedFrame::Null;
    }
    store.set(args[0].clone(), args[1].clone());
    if let Some(time) = expires {
        store.expire(&args[0], time);
    }
    ok()
}

/// The first of a range and how many are in it; negative places count from the end.
fn range(first: i64, last: i64, length: usize) -> (usize, usize) {
    let length = i64::try_from(length).expect("lists are short");
    let place = |place: i64| if place < 0 { place.saturating_add(length) } else { place };
    let (first, last) = (place(first).max(0), place(last).min(length - 1));
    if last < first {
        return (0, 0);
    }
    let usize_of = |number: i64| usize::try_from(number).expect("it is a place in the list");
    (usize_of(first), usize_of(last - first + 1))
}

fn number(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

fn seconds(text: &[u8]) -> Option<Duration> {
    Some(Duration::from_secs(u64::try_from(number(text)?).unwrap_or(0)))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn or_nil(value: Option<Vec<u8>>) -> OwnedFrame {
    value.map_or(OwnedFrame::Null, OwnedFrame::BulkString)
}
