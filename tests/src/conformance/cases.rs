//! The table of cases.

use mainspring_executor::driver::Signal;

use super::Expectation::Differs;
use super::pair::pair;
use super::{Case, Exception, Machine};
use super::{
    connecting, datagrams, ending, files, handover, names, offload, processes, signals, streaming,
    timing, tokens, unix, writing,
};

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
    })
    .long(),
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
        "time-wait",
        "who closed first keeps its port from others, who closed last does not",
        |_| Box::pin(connecting::time_wait()),
    ),
    Case::new(
        "ipv6",
        "TCP and UDP over IPv6; all addresses of one version are none of the other",
        |stage| Box::pin(connecting::version_6(stage)),
    ),
    Case::new("nodelay", "each end may turn it on and off; nothing is lost for that", |_| {
        Box::pin(connecting::no_delay())
    }),
    Case::new(
        "keepalive",
        "an end that asks for its peer notices nothing while that is there",
        |_| Box::pin(timing::keepalive()),
    ),
    Case::new(
        "write-write-read",
        "without nodelay the second small write waits for a delayed acknowledgement",
        |_| Box::pin(timing::write_write_read()),
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
        Box::pin(async { streaming::both_ways(pair().await).await })
    })
    .long(),
    Case::new(
        "backpressure",
        "a peer that does not read stops the writer; then all arrives",
        |_| Box::pin(async { streaming::backpressure(pair().await).await }),
    )
    .long(),
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
    Case::new("unix", "a Unix connection: who is where, bytes there and back", |stage| {
        Box::pin(unix::accept(stage))
    }),
    Case::new(
        "unix-paths",
        "AddrInUse, NotFound and ConnectionRefused where they belong; a path goes with its listener",
        |stage| Box::pin(unix::paths(stage)),
    ),
    Case::new(
        "unix-backlog",
        "a connection beyond the backlog is refused at once, as worth another try",
        |stage| Box::pin(unix::backlog(stage)),
    ),
    Case::new(
        "unix-listener-closed",
        "it resets what waits; what was accepted lives on",
        |stage| Box::pin(unix::listener_closed(stage)),
    ),
    Case::new(
        "unix-gone-before-accept",
        "a client that left is accepted, its bytes and end are read",
        |stage| Box::pin(unix::gone_before_accept(stage)),
    ),
    Case::new("unix-both-ways", "a megabyte each way at one time, in order", |stage| {
        Box::pin(async move { streaming::both_ways(unix::pair(&stage).await).await })
    }),
    Case::new(
        "unix-backpressure",
        "a peer that does not read stops the writer; then all arrives",
        |stage| Box::pin(async move { streaming::backpressure(unix::pair(&stage).await).await }),
    )
    .long(),
    Case::new("unix-close", "FIN for who reads, BrokenPipe for the very next write", |stage| {
        Box::pin(unix::close(stage))
    }),
    Case::new(
        "unix-close-with-unread",
        "a reset, told once to who reads, behind the bytes and in spite of a FIN",
        |stage| Box::pin(unix::close_with_unread(stage)),
    ),
    Case::new("unix-half-close", "after the peer's FIN we go on writing", |stage| {
        Box::pin(unix::half_close(stage))
    })
    .except(&[NO_FIN_EDGE]),
    Case::new("unix-abort", "an abort is a close: nothing can be taken back", |stage| {
        Box::pin(unix::abort(stage))
    }),
    Case::new("unix-close-while-waiting", "a close wakes a reader and a writer", |stage| {
        Box::pin(unix::close_while_waiting(stage))
    }),
    Case::new("unix-pair", "two ends without a path", |_| Box::pin(unix::unnamed_pair())),
    Case::new("datagrams", "UDP: each as it was sent, by whom, in order; empty ones count", |_| {
        Box::pin(datagrams::there_and_back())
    }),
    Case::new(
        "datagrams-truncated",
        "what does not fit is lost, and said to be; the next is whole",
        |_| Box::pin(datagrams::truncated()),
    ),
    Case::new("datagram-lengths", "the longest goes through; beyond it InvalidInput", |_| {
        Box::pin(datagrams::lengths())
    }),
    Case::new(
        "datagram-addresses",
        "port 0, AddrInUse, AddrNotAvailable, all addresses; TCP's ports are others",
        |_| Box::pin(datagrams::addresses()),
    ),
    Case::new(
        "datagrams-connected",
        "only the peer's arrive, but what came before stays; NotConnected without a peer",
        |_| Box::pin(datagrams::connected()),
    ),
    Case::new(
        "datagrams-refused",
        "nobody is at the peer's port: told once, to who receives or sends, and only then",
        |_| Box::pin(datagrams::refused()),
    ),
    Case::new(
        "datagrams-overflow",
        "a receiver that does not keep up loses what comes last, and stops nobody",
        |_| Box::pin(datagrams::overflow()),
    )
    .long(),
    Case::new(
        "datagrams-dropped",
        "a receive that is dropped takes nothing; a close takes nothing that is under way",
        |_| Box::pin(datagrams::dropped()),
    ),
    Case::new(
        "detach",
        "a stream leaves its shard and comes back: no byte, no end is lost meanwhile",
        |stage| Box::pin(handover::same_shard(stage)),
    ),
    Case::new("detach-elsewhere", "both ends go to another shard, one comes back", |stage| {
        Box::pin(handover::other_shard(stage))
    }),
    Case::new(
        "detach-under-pressure",
        "a stream whose buffer is full goes on elsewhere",
        |stage| Box::pin(handover::under_pressure(stage)),
    )
    .long(),
    Case::new(
        "detach-dropped",
        "what is dropped between two shards is closed: by FIN, or by reset",
        |stage| Box::pin(handover::dropped(stage)),
    ),
    Case::new(
        "detach-listener",
        "a listener goes to another shard, with its port and its backlog",
        |stage| Box::pin(handover::listeners(stage)),
    ),
    Case::new("detach-unix", "the same for Unix sockets, and the path goes along", |stage| {
        Box::pin(handover::of_unix(stage))
    }),
    Case::new("shared-port", "two shards listen on one port: each client is served", |stage| {
        Box::pin(handover::shared_port(stage))
    }),
    Case::new("spurious-edges", "edges for nothing change nothing", |stage| {
        Box::pin(tokens::spurious_edges(stage))
    })
    .long(),
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
    })
    .long(),
    Case::new(
        "files-written",
        "write, cut and sync: in part, past the end, many at one time",
        |stage| Box::pin(writing::write(stage)),
    )
    .long(),
    Case::new("file-modes", "what each way to open makes, finds and refuses", |stage| {
        Box::pin(writing::open_modes(stage))
    }),
    Case::new("files-appended", "what two append comes one after the other, each whole", |stage| {
        Box::pin(writing::append(stage))
    }),
    Case::new("files-whole", "read with a bound, write anew, ask what a path names", |stage| {
        Box::pin(writing::whole(stage))
    }),
    Case::new("folders-changed", "make and list: by name, with a bound, never outside", |stage| {
        Box::pin(writing::folders(stage))
    }),
    Case::new("files-removed", "files and empty folders go; what is open lives on", |stage| {
        Box::pin(writing::remove(stage))
    }),
    Case::new("files-renamed", "what takes whose place, and what may not", |stage| {
        Box::pin(writing::rename(stage))
    }),
    Case::new(
        "writes-dropped",
        "a write that is dropped leaves nothing but perhaps its bytes",
        |stage| Box::pin(writing::dropped(stage)),
    ),
    Case::new(
        "jobs-in-line",
        "an open file's jobs wait for a place, opens may be refused",
        |stage| Box::pin(writing::queued(stage)),
    )
    .long(),
    Case::new("names-literal", "addresses and localhost are never looked up", |stage| {
        Box::pin(names::literals(stage))
    }),
    Case::new("names", "a lookup, its answer remembered, NotFound", |stage| {
        Box::pin(names::looked_up(stage))
    }),
    Case::new("names-shared", "one lookup for many, whoever of them goes away", |stage| {
        Box::pin(names::shared(stage))
    }),
    Case::new("names-refused", "too many lookups wait; that is no answer to remember", |stage| {
        Box::pin(names::refused(stage))
    }),
    Case::new("names-connect", "to a host by its name", |_| Box::pin(names::connected())),
    Case::new("processes", "what a child is told comes back, and then its end", |stage| {
        Box::pin(processes::echo(stage))
    }),
    Case::new("processes-codes", "exit codes, asked for once or again", |stage| {
        Box::pin(processes::codes(stage))
    }),
    Case::new("processes-killed", "a signal kills a child, and its ends are closed", |stage| {
        Box::pin(processes::killed(stage))
    }),
    Case::new("processes-trapped", "a child that handles a signal ends as it likes", |stage| {
        Box::pin(processes::trapped(stage))
    }),
    Case::new("processes-output", "both streams, environment, folder", |stage| {
        Box::pin(processes::output(stage))
    }),
    Case::new("processes-bounded", "more output than is asked for ends the child", |stage| {
        Box::pin(processes::bounded(stage))
    })
    .long(),
    Case::new("processes-missing", "no such program, no such folder", |stage| {
        Box::pin(processes::missing(stage))
    }),
    Case::new("processes-backpressure", "a child that nobody reads from stops reading", |stage| {
        Box::pin(processes::backpressure(stage))
    }),
    Case::new("processes-broken", "who writes to nobody is told, on either side", |stage| {
        Box::pin(processes::broken_pipes(stage))
    })
    .long(),
    Case::new("processes-dropped", "a child that is dropped, or half started, is gone", |stage| {
        Box::pin(processes::dropped(stage))
    }),
    Case::new("processes-many", "fifty children at one time", |stage| {
        Box::pin(processes::many(stage))
    })
    .long(),
    Case::new("processes-dumped", "a dump tells who waits for a child", |_| {
        Box::pin(processes::dumped())
    }),
    Case::new("offload", "closures give what they return, many at one time", |_| {
        Box::pin(offload::gives())
    })
    .long(),
    Case::new("offload-lazy", "a closure is a job from its first poll to its end", |stage| {
        Box::pin(offload::lazy(stage))
    }),
    Case::new(
        "offload-panics",
        "a panic comes back with its payload, and the thread goes on",
        |_| Box::pin(offload::panics()),
    ),
    Case::new("offload-dropped", "a closure that waits and is dropped never runs", |_| {
        Box::pin(offload::dropped())
    }),
    Case::new("offload-returned", "what a closure returns to nobody is dropped", |_| {
        Box::pin(offload::returned_to_nobody())
    }),
    Case::new(
        "offload-full",
        "a full queue refuses, other lanes go on, each closure runs once",
        |_| Box::pin(offload::full()),
    )
    .long(),
    Case::new(
        "offload-patient",
        "who is patient gets a place, also behind those who gave up",
        |_| Box::pin(offload::patient()),
    )
    .long(),
    Case::new("signals", "each subscriber is told of each signal, once", |stage| {
        Box::pin(signals::subscribers(stage))
    }),
    Case::new(
        "signals-kept",
        "a signal waits until somebody asks; a late subscriber gets none",
        |stage| Box::pin(signals::kept_until_asked(stage)),
    ),
    Case::new(
        "signals-chosen",
        "of five kinds each subscriber is told of those it chose",
        |stage| Box::pin(signals::chosen(stage)),
    ),
    Case::new("signals-unsubscribed", "after the last subscription a signal kills", |stage| {
        Box::pin(signals::after_the_last_subscriber(stage))
    })
    .dies_of(Signal::Terminate),
    Case::new("signals-other", "a signal kills who has subscribed to others", |stage| {
        Box::pin(signals::not_subscribed_to(stage))
    })
    .dies_of(Signal::Terminate),
    Case::new("signals-none", "a signal kills who has subscribed to none", |stage| {
        Box::pin(signals::never_subscribed(stage))
    })
    .dies_of(Signal::User2),
];
