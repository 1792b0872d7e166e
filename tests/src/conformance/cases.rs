//! The table of cases.

use super::Expectation::Differs;
use super::{Case, Exception, Machine};
use super::{connecting, ending, files, signals, streaming, timing, tokens};

/// A poller without EPOLLRDHUP.
const NO_FIN_EDGE: Exception = Exception {
    machines: &[Machine::Polling],
    expectation: Differs,
    reason: "the `polling` crate does not ask for EPOLLRDHUP, so a FIN makes no edge of its own: it is found by reading \
             (0 bytes), never by `poll_peer_closed`. For the same reason a short read does not count as the end of what \
             is there. A server that must notice clients that leave runs on epoll.",
};

/// The handshake of the simulator.
const SLOW_HANDSHAKE: Exception = Exception {
    machines: &[Machine::Calm, Machine::Rough],
    expectation: Differs,
    reason: "on Linux's loopback the handshake is over before `connect` returns, so the server sees a FIN. In the \
             simulator, as between two real hosts, the SYN is under way when the client gives up, and its kernel answers \
             the SYN-ACK with a reset. (Between real hosts Linux does not even hand such a connection out; here it is in \
             the backlog from the SYN on, and is accepted and found reset.)",
};

/// All cases.
pub const CASES: &[Case] = &[
    Case::new("accept", "a connection, its four addresses, bytes there and back", |_| {
        Box::pin(connecting::accept())
    }),
    Case::new("accept-burst", "100 clients at once: each is accepted once and answered", |_| {
        Box::pin(connecting::accept_burst())
    }),
    Case::new("accept-order", "the backlog is first come, first served", |_| {
        Box::pin(connecting::accept_in_order())
    }),
    Case::new("accept-dropped", "an accept that is dropped takes no connection with it", |_| {
        Box::pin(connecting::accept_dropped())
    }),
    Case::new("connect-refused", "nobody listens: ConnectionRefused, each time", |_| {
        Box::pin(connecting::connect_refused())
    }),
    Case::new(
        "connect-dropped",
        "a connect that is dropped half way leaves nothing behind",
        |_| Box::pin(connecting::connect_dropped()),
    ),
    Case::new(
        "connect-dropped-early",
        "a connect that is dropped at once is a connection that ends at once",
        |stage| Box::pin(connecting::connect_dropped_early(stage)),
    )
    .except(&[SLOW_HANDSHAKE]),
    Case::new(
        "backlog-overflow",
        "a SYN beyond the backlog is dropped, and sent again at 1 s",
        |_| Box::pin(connecting::backlog_overflow()),
    ),
    Case::new("listener-closed", "it resets what waits; what was accepted lives on", |_| {
        Box::pin(connecting::listener_closed())
    }),
    Case::new(
        "gone-before-accept",
        "a client that left is accepted, its bytes and end are read",
        |_| Box::pin(connecting::gone_before_accept()),
    ),
    Case::new(
        "ended-before-accept",
        "the FIN or reset of who left makes an edge after the accept",
        |stage| Box::pin(connecting::ended_before_accept(stage)),
    )
    .except(&[NO_FIN_EDGE]),
    Case::new(
        "addresses",
        "port 0, AddrInUse, AddrNotAvailable, a port taken again at once",
        |_| Box::pin(connecting::addresses()),
    ),
    Case::new(
        "reuse-port",
        "two listeners on one port: each connection goes to one of them",
        |_| Box::pin(connecting::reuse_port()),
    ),
    Case::new(
        "sockets-exhausted",
        "EMFILE: who fails, who goes on, and a connection that waits",
        |stage| Box::pin(connecting::sockets_exhausted(stage)),
    ),
    Case::new("both-ways", "a megabyte each way at one time, in order", |_| {
        Box::pin(streaming::both_ways())
    }),
    Case::new(
        "backpressure",
        "a peer that does not read stops the writer; then all arrives",
        |_| Box::pin(streaming::backpressure()),
    ),
    Case::new(
        "many-slices",
        "more buffers in one write than a kernel takes, many of them empty",
        |_| Box::pin(streaming::many_slices()),
    ),
    Case::new("empty-slices", "thousands of empty buffers before the first that is not", |_| {
        Box::pin(streaming::empty_slices())
    }),
    Case::new(
        "small-reads",
        "byte by byte, and into a buffer that gets full; no read of nothing",
        |_| Box::pin(streaming::small_reads()),
    ),
    Case::new("close-delivers", "what was written before a close still arrives, then FIN", |_| {
        Box::pin(streaming::close_delivers())
    }),
    Case::new("eof-after-data", "a FIN ends the stream, and stays", |_| {
        Box::pin(ending::eof_after_data())
    }),
    Case::new("fin-with-data", "a FIN that comes together with data is found behind it", |_| {
        Box::pin(ending::fin_with_data())
    }),
    Case::new("half-close", "after the peer's FIN we go on writing, in both roles", |_| {
        Box::pin(ending::half_close())
    }),
    Case::new(
        "fins-cross",
        "both ends finish at one time, and each reads the other's last bytes",
        |_| Box::pin(ending::fins_cross()),
    ),
    Case::new(
        "write-after-shutdown",
        "BrokenPipe; a shutdown again is none, but after both ends",
        |_| Box::pin(ending::write_after_shutdown()),
    ),
    Case::new(
        "write-after-peer-closed",
        "the first write goes out, the next says BrokenPipe",
        |_| Box::pin(ending::write_after_peer_closed()),
    ),
    Case::new("abort", "the peer reads what came before, ConnectionReset once, then FIN", |_| {
        Box::pin(ending::abort())
    }),
    Case::new("abort-under-pressure", "an abort drops what was not sent", |_| {
        Box::pin(ending::abort_under_pressure())
    }),
    Case::new("abort-while-waiting", "a reset wakes a reader and a writer that wait", |_| {
        Box::pin(ending::abort_while_waiting())
    }),
    Case::new("reset-told-to-write", "a write is told of a reset once, then BrokenPipe", |_| {
        Box::pin(ending::reset_told_to_write())
    }),
    Case::new("reset-on-unread", "a close with unread bytes resets", |stage| {
        Box::pin(ending::reset_on_unread(stage))
    }),
    Case::new(
        "peer-closed-by-fin",
        "poll_peer_closed tells of a FIN without a read; poll_broken not",
        |stage| Box::pin(ending::peer_closed_by_fin(stage)),
    )
    .except(&[NO_FIN_EDGE]),
    Case::new("peer-closed-by-reset", "both tell of a reset without a read", |_| {
        Box::pin(ending::peer_closed_by_reset())
    }),
    Case::new("spurious-edges", "edges for nothing change nothing", |stage| {
        Box::pin(tokens::spurious_edges(stage))
    }),
    Case::new(
        "closed-while-armed",
        "tasks that wait are cancelled: no socket, no registration is left",
        |stage| Box::pin(tokens::closed_while_armed(stage)),
    ),
    Case::new("dropped-reads", "a read that is dropped takes no bytes with it", |_| {
        Box::pin(tokens::dropped_reads())
    }),
    Case::new(
        "token-reuse",
        "no edge of a closed socket reaches the one that took its place",
        |stage| Box::pin(tokens::token_reuse(stage)),
    ),
    Case::new(
        "timers-in-order",
        "timers fire in the order of their deadlines, never early",
        |stage| Box::pin(timing::timers_in_order(stage)),
    ),
    Case::new("time-passes", "clock, date and entropy are what they should be", |_| {
        Box::pin(timing::time_passes())
    }),
    Case::new(
        "timeout-and-data",
        "what is there in time is given, what is late is not lost",
        |_| Box::pin(timing::timeout_and_data()),
    ),
    Case::new("files", "open and read: whole, in part, past the end, many at one time", |stage| {
        Box::pin(files::read(stage))
    }),
    Case::new(
        "file-paths",
        "no path leads out; NotFound and NotADirectory where they belong",
        |stage| Box::pin(files::paths(stage)),
    ),
    Case::new("folders", "a folder opens as one, and cannot be read", |stage| {
        Box::pin(files::folders(stage))
    }),
    Case::new("jobs-dropped", "a job that is dropped half way leaves nothing behind", |stage| {
        Box::pin(files::jobs_dropped(stage))
    }),
    Case::new("signals", "each subscriber is told of each signal, once", |stage| {
        Box::pin(signals::subscribers(stage))
    }),
    Case::new(
        "signals-kept",
        "a signal waits until somebody asks; a late subscriber gets none",
        |stage| Box::pin(signals::kept_until_asked(stage)),
    ),
    Case::new("signals-unsubscribed", "after the last subscription signals are ignored", |stage| {
        Box::pin(signals::after_the_last_subscriber(stage))
    }),
];
