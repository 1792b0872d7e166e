//! `Capture`: the packets of a run, as a file that Wireshark opens. `packet` is one of them; who makes them is `net::tap`.
//!
//! Each packet is there once, as a tap right behind the host that sends it would see it: with what gets lost, at the time at
//! which it leaves, on an interface that has the name of that host. (A file with both ends of each packet would make any reader
//! take the second for a retransmission.) What happens on the way is a comment on the packet.

mod packet;

use core::net::{Ipv4Addr, Ipv6Addr};
use std::io::{self, Error, Write};

use mainspring_executor::driver::Instant;
pub(crate) use packet::{Body, Fate, Packet, Segment};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::name_resolution::{
    Ipv4Record, Ipv6Record, NameResolutionBlock, Record,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriteError, PcapNgWriter};
use pcap_file::{DataLink, Endianness};

/// The packets of a run. [`World::capture`](crate::World::capture) has them.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    hosts: Vec<CapturedHost>,
    packets: Vec<Packet>,
}

/// A host, as the file has it.
#[derive(Clone, Debug)]
pub(crate) struct CapturedHost {
    pub(crate) name: String,
    pub(crate) ip: Ipv4Addr,
    pub(crate) ip_v6: Ipv6Addr,
}

impl Capture {
    /// Those packets of those hosts, in the order of time.
    pub(crate) fn new(hosts: Vec<CapturedHost>, packets: Vec<Packet>) -> Self {
        assert!(packets.is_sorted_by_key(|packet| packet.at), "packets are in the order of time");
        Self { hosts, packets }
    }

    /// How many packets there are.
    #[must_use]
    pub fn packet_count(&self) -> usize {
        self.packets.len()
    }

    /// Writes it in the format pcapng: one interface for each host, which has its name; the names of all addresses; and the
    /// packets in the order of time, from their IP headers on, none cut short. Their times are nanoseconds since the start of the
    /// room, as those of the trace. One that gets lost, is late or comes twice has a comment that says so.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_to(&self, writer: impl Write) -> io::Result<()> {
        let mut writer = PcapNgWriter::with_endianness(writer, Endianness::Little).map_err(io)?;
        for host in &self.hosts {
            writer.write_block(&host.interface().into_block()).map_err(io)?;
        }
        writer.write_block(&self.names().into_block()).map_err(io)?;
        for packet in &self.packets {
            let bytes = packet.bytes()?;
            let length = u32::try_from(bytes.len()).map_err(Error::other)?;
            let comment = packet.comment().map(|text| CommonOption::Comment(text.into()));
            let block = EnhancedPacketBlock {
                interface_id: u32::try_from(packet.host.index()).map_err(Error::other)?,
                timestamp: packet.at - Instant::START,
                original_len: length,
                data: bytes.into(),
                options: comment.map(EnhancedPacketOption::Common).into_iter().collect(),
            };
            writer.write_block(&block.into_block()).map_err(io)?;
        }
        writer.into_inner().flush()
    }

    fn names(&self) -> NameResolutionBlock<'_> {
        let records = self.hosts.iter().flat_map(|host| {
            let names = vec![host.name.as_str().into()];
            let v4 = Record::Ipv4(Ipv4Record { ip_addr: host.ip, names: names.clone() });
            [v4, Record::Ipv6(Ipv6Record { ip_addr: host.ip_v6, names })]
        });
        NameResolutionBlock { records: records.collect(), options: Vec::new() }
    }
}

impl CapturedHost {
    fn interface(&self) -> InterfaceDescriptionBlock<'_> {
        InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            // Whole packets.
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(self.name.as_str().into()),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        }
    }
}

fn io(error: PcapNgWriteError) -> Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        other => Error::new(io::ErrorKind::InvalidData, other),
    }
}
