//! `Case`: what a client says, and what must come of it.

use mainspring::limits::Limits;

/// What is said behind a case after which the connection goes on. Its answer is the last.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";

/// What is said behind a case that ends the connection. Nobody may serve it.
const POISON: &[u8] = b"GET /poison HTTP/1.1\r\nHost: poison\r\n\r\n";

/// One case of a file.
#[derive(Clone, Debug)]
pub struct Case {
    /// By which it is called.
    pub name: String,
    /// The file, and the line in it at which it begins.
    pub place: String,
    /// Sections, such as `9112 §6.3`.
    pub rfc: Vec<String>,
    /// It does not hold yet: what is missing.
    pub pending: Option<String>,
    pub(super) limits: Limits,
    pub(super) steps: Vec<Step>,
    pub(super) requests: Vec<ExpectedRequest>,
    pub(super) answers: Vec<ExpectedAnswer>,
    /// Where it says `closed`.
    pub(super) is_closed: bool,
}

impl Case {
    /// All that the client says, with what is said behind it, and whether it then ends its side.
    #[must_use]
    pub fn stream(&self) -> (Vec<u8>, bool) {
        let case = self.with_epilogue();
        let sent = case.steps.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(bytes.as_slice()),
            Step::AwaitContinue | Step::Fin => None,
        });
        (sent.collect::<Vec<_>>().concat(), case.steps.contains(&Step::Fin))
    }

    /// Whether these are the first bytes of the client.
    pub(super) fn begins_with(&self, start: &[u8]) -> bool {
        matches!(self.steps.first(), Some(Step::Send(bytes)) if bytes.starts_with(start))
    }
}

/// What the client does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// It waits for 100 (Continue).
    AwaitContinue,
    /// It ends its side.
    Fin,
}

/// A request that the handler must get.
#[derive(Clone, Debug, Default)]
pub(super) struct ExpectedRequest {
    pub(super) line: String,
    /// All values of a name.
    pub(super) fields: Vec<(String, Vec<Vec<u8>>)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
    pub(super) is_broken: bool,
}

/// An answer that the client must get.
#[derive(Clone, Debug, Default)]
pub(super) struct ExpectedAnswer {
    pub(super) status: u16,
    /// It may be missing.
    pub(super) is_optional: bool,
    pub(super) closes: bool,
    /// All values of a name.
    pub(super) fields: Vec<(String, Vec<Vec<u8>>)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
}

impl Case {
    /// Whether the connection ends with the case.
    pub(super) fn ends(&self) -> bool {
        let closes = self.answers.last().is_some_and(|answer| answer.closes);
        self.is_closed || closes || self.steps.contains(&Step::Fin)
    }

    /// What is said behind it.
    pub(super) fn epilogue(&self) -> Option<&'static [u8]> {
        match self.steps.last() {
            Some(Step::Fin) => None,
            _ if self.ends() => Some(POISON),
            _ => Some(PROBE),
        }
    }

    /// The case with its epilogue, and what must come of that.
    pub(super) fn with_epilogue(&self) -> Self {
        let mut case = self.clone();
        let Some(epilogue) = self.epilogue() else { return case };
        match case.steps.last_mut() {
            Some(Step::Send(bytes)) => bytes.extend_from_slice(epilogue),
            _ => case.steps.push(Step::Send(epilogue.to_vec())),
        }
        if !self.ends() {
            case.requests
                .push(ExpectedRequest { line: "GET /probe".to_owned(), ..Default::default() });
            case.answers.push(ExpectedAnswer { status: 200, closes: true, ..Default::default() });
        }
        case
    }
}
