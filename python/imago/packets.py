"""IP packets as octets, as far as a wire of IKE needs them."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

_UDP = 17


class Parts(NamedTuple):
    """What Network.inject() takes: network.inject(*split(packet)[:3], is_esp=split(packet).is_esp)."""

    source: str
    destination: str
    octets: bytes
    is_esp: bool


def split(packet: object) -> Parts:
    """Takes an IP packet with UDP in it apart: bytes, or what bytes() makes of it, such as scapy's IP()/UDP()/...

    On port 4500 the non-ESP marker (RFC 3948 §2.2) tells IKE from ESP and is taken off. Raises ValueError.
    """
    octets = bytes(packet)  # type: ignore[call-overload]
    version = octets[0] >> 4 if octets else 0
    if version == 4 and len(octets) >= 20:
        header, protocol = (octets[0] & 15) * 4, octets[9]
        source, destination = octets[12:16], octets[16:20]
    elif version == 6 and len(octets) >= 40:
        header, protocol = 40, octets[6]
        source, destination = octets[8:24], octets[24:40]
    else:
        raise ValueError("this is no IP packet: it begins with neither a whole IPv4 nor IPv6 header")
    if protocol != _UDP or len(octets) < header + 8:
        raise ValueError(f"the IP packet has protocol {protocol}, or is too short; UDP ({_UDP}) is wanted")
    udp = octets[header:]
    ports = int.from_bytes(udp[0:2], "big"), int.from_bytes(udp[2:4], "big")
    size = int.from_bytes(udp[4:6], "big")
    if not 8 <= size <= len(udp):
        raise ValueError(f"the UDP length {size} does not fit the {len(udp)} octets that are there")
    content, is_esp = udp[8:size], False
    if 4500 in ports:
        is_esp = content[:4] != bytes(4)
        content = content if is_esp else content[4:]
    return Parts(_endpoint(source, ports[0]), _endpoint(destination, ports[1]), content, is_esp)


def _endpoint(address, port):
    text = str(ipaddress.ip_address(address))
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
