//! `Packet`: one packet of the room, and the bytes that it would have on a wire: an IP header and what is behind it.

use core::net::{IpAddr, SocketAddr};
use std::io::{self, Error};
use std::sync::Arc;

use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpHeaders, PacketBuilder, PacketBuilderStep, TcpHeader,
    TcpOptionElement, icmpv4,
};
use mainspring_executor::driver::Instant;

use crate::event::HostId;
use crate::net::SEGMENT_BYTES;

/// As Linux sends them.
const HOPS: u8 = 64;

/// Most bytes of an ICMP message: what is left of the datagram that it is about is cut off (RFC 1812 §4.3.2.3; RFC 4443 §3.1).
const ICMP_BYTES_MAX: usize = 576;
const ICMP_V6_BYTES_MAX: usize = 1280;

/// A packet that has left a host.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) at: Instant,
    /// Who sent it.
    pub(crate) host: HostId,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) body: Body,
    pub(crate) fate: Fate,
}

/// What is in it.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Tcp(Segment),
    Udp(Arc<[u8]>),
    /// ICMP: a datagram with these bytes came, and nobody is there.
    Unreachable(Arc<[u8]>),
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    /// `None`: the flag is not set.
    pub(crate) acknowledgment: Option<u32>,
    pub(crate) window: u16,
    /// It opens a connection, and says by how many bits windows are shifted from then on.
    pub(crate) syn: Option<u8>,
    pub(crate) is_fin: bool,
    pub(crate) is_reset: bool,
    /// It is the last of what is sent at one time.
    pub(crate) is_pushed: bool,
    pub(crate) payload: Arc<[u8]>,
}

/// What becomes of a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// `None`: it gets lost.
    pub(crate) arrival: Option<Instant>,
    /// It arrives once more.
    pub(crate) second_arrival: Option<Instant>,
    /// Others that leave later are there before.
    pub(crate) is_late: bool,
}

impl Fate {
    /// It arrives at that instant, or never.
    pub(crate) const fn of(arrival: Option<Instant>) -> Self {
        Self { arrival, second_arrival: None, is_late: false }
    }

    /// What is worth to be told of it.
    fn comment(self) -> Option<String> {
        let mut words = Vec::new();
        match self.arrival {
            None => words.push("lost on its way".to_owned()),
            Some(at) if self.is_late => words.push(format!("late: arrives at {at}")),
            Some(_) => {}
        }
        if let Some(at) = self.second_arrival {
            words.push(format!("arrives once more at {at}"));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }
}

impl Packet {
    /// What a reader cannot see by himself.
    pub(super) fn comment(&self) -> Option<String> {
        self.fate.comment()
    }

    /// Its bytes, from the IP header on.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let builder = between(self.from.ip(), self.to.ip());
        match &self.body {
            Body::Tcp(segment) => {
                let header = segment.header(self.from.port(), self.to.port()).map_err(invalid)?;
                let builder = builder.tcp_header(header);
                builder.write_to_vec(&mut bytes, &segment.payload).map_err(invalid)?;
            }
            Body::Udp(payload) => {
                let builder = builder.udp(self.from.port(), self.to.port());
                builder.write_to_vec(&mut bytes, payload).map_err(invalid)?;
            }
            Body::Unreachable(payload) => self.write_unreachable(&mut bytes, payload)?,
        }
        Ok(bytes)
    }

    /// An ICMP message has a part of the packet that it is about, which went the other way.
    fn write_unreachable(&self, bytes: &mut Vec<u8>, payload: &[u8]) -> io::Result<()> {
        let mut about = Vec::new();
        let builder = between(self.to.ip(), self.from.ip()).udp(self.to.port(), self.from.port());
        builder.write_to_vec(&mut about, payload).map_err(invalid)?;
        let builder = between(self.from.ip(), self.to.ip());
        if self.from.is_ipv4() {
            let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
            let builder = builder.icmpv4(kind);
            about.truncate(ICMP_BYTES_MAX - builder.size(0));
            builder.write_to_vec(bytes, &about).map_err(invalid)
        } else {
            let kind = Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Port);
            let builder = builder.icmpv6(kind);
            about.truncate(ICMP_V6_BYTES_MAX - builder.size(0));
            builder.write_to_vec(bytes, &about).map_err(invalid)
        }
    }
}

impl Segment {
    fn header(&self, from: u16, to: u16) -> Result<TcpHeader, etherparse::TcpOptionWriteError> {
        let mut header = TcpHeader::new(from, to, self.sequence, self.window);
        header.ack = self.acknowledgment.is_some();
        header.acknowledgment_number = self.acknowledgment.unwrap_or(0);
        header.syn = self.syn.is_some();
        header.fin = self.is_fin;
        header.rst = self.is_reset;
        header.psh = self.is_pushed;
        if let Some(shift) = self.syn {
            let bytes = u16::try_from(SEGMENT_BYTES).expect("a segment is a packet");
            header.set_options(&[
                TcpOptionElement::MaximumSegmentSize(bytes),
                TcpOptionElement::Noop,
                TcpOptionElement::WindowScale(shift),
            ])?;
        }
        Ok(header)
    }
}

fn between(from: IpAddr, to: IpAddr) -> PacketBuilderStep<IpHeaders> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), HOPS),
        _ => unreachable!("a packet goes from {from} to {to}: one version of IP"),
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(io::ErrorKind::InvalidData, error)
}
