//! Our server beside hyper's, on the same stream, over the same simulated wire: what both take for requests has to be the
//! same. Two servers that disagree on where a request begins or ends are what request smuggling is made of.
//!
//! Both have the same handler, which answers each request with what it got. Compared are the requests as the handlers got
//! them, bodies and trailers included; the statuses; and whether the connection went on. Not compared are fields of
//! answers that say who answers and how (Date, Server, Connection), their version and reason phrases, and 100 (Continue),
//! which is only checked to come where it may: hyper always sends it, we do where no byte of the body has come.
//!
//! Up to the first difference all has to be equal; what explains that one explains what follows from it. What is explained
//! is in `explained`, and nowhere else.

mod difference;
mod explained;
mod handler;
mod message;
mod reading;
mod run;
mod script;
mod seen;

use mainspring::http1::Error;

use difference::Difference;
use explained::{EXPLAINED, Explained};
use reading::Reading;
use run::Run;
use script::Script;

/// Runs `data` (a script, then a stream; see `script`) through both servers, and asserts that they differ in nothing
/// that is not explained.
///
/// # Panics
/// If they do, with what each of them made of it.
pub fn differential(data: &[u8]) {
    if let Err(report) = compare(data) {
        panic!("{report}");
    }
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What explains the difference, by its name in `docs/HTTP.md`, if there is one.
    pub explained: Option<&'static str>,
    /// The hashes of both rooms' traces: our server's, then hyper's.
    pub trace_hashes: [u64; 2],
}

/// The same as [`differential`], for tests.
///
/// # Errors
/// A difference that nothing explains, or what was wrong with one of the servers alone.
pub fn compare(data: &[u8]) -> Result<Comparison, String> {
    let (script, stream) = Script::read(data);
    let report = |what: String| {
        let pieces = script.pieces.iter().map(|piece| piece.escape_ascii().to_string());
        let pieces: Vec<_> = pieces.collect();
        format!("{what}\nthe client, which hangs up: {}, said: {pieces:#?}", script.hangs_up)
    };
    let reading = Reading::of(stream);
    let ours = Run::of_mainspring(&script, reading.refusal_has_content).map_err(report)?;
    reading.check(&ours).map_err(report)?;
    let hyper = Run::of_hyper(&script).map_err(report)?;
    let explained = match Difference::find(stream, &reading, &ours, &hyper) {
        None => None,
        Some(difference) => match Explained::of(&difference) {
            None => return Err(report(difference.to_string())),
            explained => explained,
        },
    };
    let explained = explained.map(|explained| explained.name);
    Ok(Comparison { explained, trace_hashes: [ours.trace_hash, hyper.trace_hash] })
}

/// All differences that are explained: their names, and the errors of ours that they are about.
pub fn explained() -> impl Iterator<Item = (&'static str, &'static [Error])> {
    EXPLAINED.iter().map(|explained| (explained.name, explained.errors))
}
