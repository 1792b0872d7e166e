//! A capture, read back from its file by the crates that wrote it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use etherparse::{
    Icmpv4Header, Icmpv6Header, IpHeaders, NetSlice, SlicedPacket, TcpHeader, TransportSlice,
};
use mainspring_sim::Capture;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgReader};

/// A packet of a file.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    /// The name of the interface.
    pub(crate) host: String,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) kind: Kind,
    pub(crate) comment: String,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(TcpHeader, Vec<u8>),
    Udp(Vec<u8>),
    /// With its payload, from the IP header on.
    Unreachable(Vec<u8>),
}

pub(crate) fn bytes(capture: &Capture) -> Vec<u8> {
    let mut bytes = Vec::new();
    capture.write_to(&mut bytes).expect("a vector takes all");
    bytes
}

/// All packets of a file, in its order.
pub(crate) fn lines(capture: &Capture) -> Vec<Line> {
    let file = bytes(capture);
    let mut reader = PcapNgReader::new(&file[..]).expect("a section");
    let (mut hosts, mut lines) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block() {
        match block.expect("a block").0 {
            Block::InterfaceDescription(interface) => {
                hosts.extend(interface.options.into_iter().find_map(|option| match option {
                    InterfaceDescriptionOption::IfName(name) => Some(name.into_owned()),
                    _ => None,
                }));
            }
            Block::EnhancedPacket(packet) => {
                let comment = packet.options.iter().find_map(|option| match option {
                    EnhancedPacketOption::Common(CommonOption::Comment(text)) => {
                        Some(text.to_string())
                    }
                    _ => None,
                });
                let host = hosts[packet.interface_id as usize].clone();
                let at = packet.timestamp;
                lines.push(line(at, host, comment.unwrap_or_default(), &packet.data));
            }
            _ => {}
        }
    }
    assert_eq!(lines.len(), capture.packet_count());
    lines
}

fn line(at: Duration, host: String, comment: String, data: &[u8]) -> Line {
    let packet = SlicedPacket::from_ip(data).expect("an IP packet");
    let net = packet.net.expect("an IP packet");
    let (from, to): (IpAddr, IpAddr) = match &net {
        NetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Arp(_) => panic!("no IP packet"),
    };
    let headers = IpHeaders::from_slice(data).expect("an IP packet").0;
    let (ports, kind) = match packet.transport.expect("something in it") {
        TransportSlice::Tcp(tcp) => {
            let header = tcp.to_header();
            let sum = match &headers {
                IpHeaders::Ipv4(ip, _) => header.calc_checksum_ipv4(ip, tcp.payload()),
                IpHeaders::Ipv6(ip, _) => header.calc_checksum_ipv6(ip, tcp.payload()),
            };
            assert_eq!(sum.expect("it is short"), header.checksum);
            let ports = (header.source_port, header.destination_port);
            (ports, Kind::Tcp(header, tcp.payload().to_vec()))
        }
        TransportSlice::Udp(udp) => {
            ((udp.source_port(), udp.destination_port()), Kind::Udp(udp.payload().to_vec()))
        }
        TransportSlice::Icmpv4(icmp) => {
            let header = Icmpv4Header::with_checksum(icmp.icmp_type(), icmp.payload());
            assert_eq!(header.checksum, icmp.checksum());
            ((0, 0), Kind::Unreachable(icmp.payload().to_vec()))
        }
        TransportSlice::Icmpv6(icmp) => {
            let IpHeaders::Ipv6(ip, _) = &headers else { panic!("ICMPv6 is of IPv6") };
            let header = Icmpv6Header::with_checksum(
                icmp.icmp_type(),
                ip.source,
                ip.destination,
                icmp.payload(),
            );
            assert_eq!(header.expect("it is short").checksum, icmp.checksum());
            ((0, 0), Kind::Unreachable(icmp.payload().to_vec()))
        }
        other => panic!("no such packet is sent: {other:?}"),
    };
    if let IpHeaders::Ipv4(ip, _) = &headers {
        assert_eq!(ip.calc_header_checksum(), ip.header_checksum);
    }
    let (from, to) = (SocketAddr::new(from, ports.0), SocketAddr::new(to, ports.1));
    Line { at, host, from, to, kind, comment }
}
