//! A timeline as one page for a browser, that needs nothing from elsewhere. The page is in `page/`: a frame, a style, and its program;
//! here its data is written into it, in columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainspring_executor::driver::Instant;
use serde_json::{Value, json};

use super::{Doing, Fate, Reason, Timeline};
use crate::coverage::Fault;
use crate::recording::Chosen;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: [&str; 6] = [
    include_str!("page/model.js"),
    include_str!("page/axis.js"),
    include_str!("page/rows.js"),
    include_str!("page/draw.js"),
    include_str!("page/details.js"),
    include_str!("page/main.js"),
];

/// What stands above a timeline.
#[derive(Clone, Debug, Default)]
pub struct Heading {
    /// Of the scenario, or of the test.
    pub name: String,
    /// Why the run failed; its first line is in what way. `None`: it held.
    pub failure: Option<String>,
    /// What repeats it.
    pub replay: Option<String>,
    /// Choices to be marked.
    pub choices: Vec<Mark>,
}

/// A choice that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it was made.
    pub at: Instant,
    /// Whose it is, and what it did.
    pub words: String,
    /// The failure became inevitable with it.
    pub is_decisive: bool,
}

impl Mark {
    pub(crate) fn of(chosen: &Chosen) -> Self {
        let words = format!("{}: {}", chosen.owner(), chosen.words());
        Self { at: chosen.at, words, is_decisive: false }
    }
}

/// Texts, each once, by number.
#[derive(Default)]
struct Strings {
    places: BTreeMap<Arc<str>, usize>,
    list: Vec<Arc<str>>,
}

impl Strings {
    fn place(&mut self, text: &Arc<str>) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.list.len();
        self.list.push(Arc::clone(text));
        self.places.insert(Arc::clone(text), place);
        place
    }
}

/// Each number less the one before it: most are small.
fn differences(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut before = 0;
    let difference = |number: u64| {
        let difference = number - before;
        before = number;
        difference
    };
    numbers.map(difference).collect()
}

fn place(index: usize) -> u64 {
    index as u64
}

/// The place of what may be missing: -1 then.
fn place_or_none(index: Option<usize>) -> i64 {
    index.map_or(-1, |index| i64::try_from(index).expect("fewer than 2^63"))
}

fn number_of(doing: Doing) -> usize {
    match doing {
        Doing::Runs => 0,
        Doing::Ready => 1,
        Doing::Waits(reason) => {
            2 + Reason::ALL.iter().position(|other| *other == reason).expect("all are there")
        }
    }
}

const FATES: [Fate; 6] =
    [Fate::Arrives, Fate::Late, Fate::Again, Fate::Lost, Fate::Reset, Fate::UnderWay];

impl Timeline {
    /// A page that shows it, whole in one file. Opens in a browser, without a network.
    #[must_use]
    pub fn html(&self, heading: &Heading) -> String {
        let data = self.data(heading).to_string();
        let script: String =
            SCRIPT.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n");
        let title = escaped(&format!("{} · seed {}", heading.name, self.seed));
        let page = PAGE.replacen("{{title}}", &title, 1);
        let page = page.replacen("{{style}}", STYLE.trim_end(), 1);
        let page = page.replacen("{{script}}", &script, 1);
        // Last, for it may have any text. Within a string of JSON this is the same, and nothing ends the element.
        page.replacen("{{data}}", &data.replace('<', "\\u003c"), 1)
    }

    fn data(&self, heading: &Heading) -> Value {
        let mut strings = Strings::default();
        let events = self.events_data(&mut strings);
        let spans = self.spans_data(&mut strings);
        let messages = self.messages_data(&mut strings);
        let lanes = self.lanes.iter().map(|lane| {
            json!({
                "kind": lane.kind.name(),
                "host": lane.host,
                "name": &*lane.name,
                "place": &*lane.place,
                "owner": lane.owner,
            })
        });
        let stops = self
            .stops
            .iter()
            .map(|stop| json!({ "event": stop.event, "text": &*stop.text, "lanes": stop.lanes }));
        let choices = heading
            .choices
            .iter()
            .map(|Mark { at, words, is_decisive }| {
                json!({ "at": at.as_nanos(), "words": words, "decisive": is_decisive })
            });
        let reasons = Reason::ALL.map(Doing::Waits);
        let doings = [Doing::Runs, Doing::Ready].into_iter().chain(reasons).map(Doing::name);
        json!({
            "heading": {
                "name": heading.name,
                "seed": self.seed.to_string(),
                "end": self.end.as_nanos(),
                "failure": heading.failure,
                "replay": heading.replay,
                "choices": choices.collect::<Vec<_>>(),
            },
            "hosts": self.hosts.iter().map(|name| &**name).collect::<Vec<_>>(),
            "lanes": lanes.collect::<Vec<_>>(),
            "events": events,
            "spans": spans,
            "messages": messages,
            "stops": stops.collect::<Vec<_>>(),
            "doings": doings.collect::<Vec<_>>(),
            "fates": FATES.map(Fate::name),
            "faults": Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>(),
            "strings": strings.list.iter().map(|text| &**text).collect::<Vec<_>>(),
        })
    }

    fn events_data(&self, strings: &mut Strings) -> Value {
        let kinds = self.events.iter().map(|event| strings.place(&Arc::from(event.kind)));
        let kinds: Vec<_> = kinds.collect();
        let texts: Vec<_> = self.events.iter().map(|event| strings.place(&event.text)).collect();
        let back = self.events.iter().enumerate();
        let back = back.map(|(place, event)| event.cause.map_or(0, |cause| place - cause));
        let faults = self.events.iter().enumerate().filter_map(|(place, event)| {
            let fault = event.fault?;
            let number = Fault::ALL.iter().position(|other| *other == fault)?;
            Some((place, number))
        });
        json!({
            "at": differences(self.events.iter().map(|event| event.at.as_nanos())),
            "lane": self.events.iter().map(|event| event.lane).collect::<Vec<_>>(),
            "kind": kinds,
            "text": texts,
            "task": self.events.iter().map(|event| place_or_none(event.task)).collect::<Vec<_>>(),
            "cause": back.collect::<Vec<_>>(),
            "faults": faults.collect::<Vec<_>>(),
        })
    }

    fn spans_data(&self, strings: &mut Strings) -> Value {
        let texts: Vec<_> = self.spans.iter().map(|span| strings.place(&span.text)).collect();
        let lengths = self.spans.iter().map(|span| place_or_none(span.to.map(|to| to - span.from)));
        json!({
            "lane": self.spans.iter().map(|span| span.lane).collect::<Vec<_>>(),
            "doing": self.spans.iter().map(|span| number_of(span.doing)).collect::<Vec<_>>(),
            "from": differences(self.spans.iter().map(|span| place(span.from))),
            "length": lengths.collect::<Vec<_>>(),
            "text": texts,
        })
    }

    fn messages_data(&self, strings: &mut Strings) -> Value {
        let all = &self.messages;
        let texts: Vec<_> = all.iter().map(|message| strings.place(&message.text)).collect();
        let number = |fate: Fate| FATES.iter().position(|other| *other == fate);
        let lengths =
            all.iter().map(|it| place_or_none(it.arrived.map(|arrived| arrived - it.sent)));
        json!({
            "from": all.iter().map(|it| it.from).collect::<Vec<_>>(),
            "to": all.iter().map(|it| place_or_none(it.to)).collect::<Vec<_>>(),
            "sent": differences(all.iter().map(|it| place(it.sent))),
            "length": lengths.collect::<Vec<_>>(),
            "due": all.iter().map(|it| it.due.as_nanos()).collect::<Vec<_>>(),
            "fate": all.iter().map(|it| number(it.fate)).collect::<Vec<_>>(),
            "text": texts,
            "control": all.iter().map(|it| u8::from(it.is_control)).collect::<Vec<_>>(),
        })
    }
}

/// For the text of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('{', "&#123;")
}
