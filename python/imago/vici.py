"""The control protocol (vici), as octets on a Unix socket: packets of a kind, a name and a tree of text.

A packet has a length of four octets, a kind, for most kinds a name, and a message: sections, keys with a
value, keys with a list. Standard library only, so that it can be used without the compiled module.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

Message = Dict[str, Any]

COMMAND, RESPONSE, UNKNOWN_COMMAND, REGISTER, UNREGISTER, CONFIRMED, UNKNOWN_EVENT, EVENT = range(8)
PACKET_SIZE_MAX = 512 * 1024
_SECTION, _END, _VALUE, _LIST, _ITEM, _LIST_END = 1, 2, 3, 4, 5, 6


def encode(message: Mapping[str, Any]) -> bytes:
    """A tree as octets: a dict is a section, a list a list, all else a value."""
    out = bytearray()
    for key, value in message.items():
        name = _counted(key, 1)
        if isinstance(value, Mapping):
            out += bytes([_SECTION]) + name + encode(value) + bytes([_END])
        elif isinstance(value, (list, tuple)):
            out += bytes([_LIST]) + name
            for item in value:
                out += bytes([_ITEM]) + _counted(item, 2)
            out += bytes([_LIST_END])
        else:
            out += bytes([_VALUE]) + name + _counted(value, 2)
    return bytes(out)


def _counted(value, width):
    octets = value if isinstance(value, bytes) else _text(value).encode()
    if len(octets) >= 1 << 8 * width:
        raise ValueError(f"{len(octets)} octets do not fit where {width} octets say how many")
    return len(octets).to_bytes(width, "big") + octets


def _text(value):
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def decode(octets: bytes) -> Message:
    """Octets as a tree. Raises ValueError where they are none."""
    root: Message = {}
    here, stack, at = root, [], 0
    items: Optional[List[str]] = None

    def counted(width):
        nonlocal at
        size = int.from_bytes(octets[at:at + width], "big")
        begin, at = at + width, at + width + size
        if at > len(octets):
            raise ValueError(f"the message ends within an element at octet {begin}")
        return octets[begin:at].decode("utf-8", "replace")

    while at < len(octets):
        kind, at = octets[at], at + 1
        if kind == _SECTION:
            stack.append(here)
            name = counted(1)
            here[name] = here = {}
        elif kind == _END and stack:
            here = stack.pop()
        elif kind == _VALUE:
            name = counted(1)
            here[name] = counted(2)
        elif kind == _LIST:
            here[counted(1)] = items = []
        elif kind == _ITEM and items is not None:
            items.append(counted(2))
        elif kind == _LIST_END and items is not None:
            items = None
        else:
            raise ValueError(f"an element of kind {kind} cannot stand at octet {at - 1}")
    if stack:
        raise ValueError("a section has no end")
    return root


class Vici:
    """One connection to a vici socket. One command at a time; OSError and ValueError are raised as they come."""

    def __init__(self, path: str, timeout: Optional[float] = 20.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> "Vici":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()

    def send(self, kind: int, name: str, content: bytes = b"") -> None:
        """One packet with a name."""
        packet = bytes([kind, len(name)]) + name.encode() + content
        self.socket.sendall(struct.pack("!I", len(packet)) + packet)

    def receive(self) -> Tuple[int, Message]:
        """The next packet's kind and message; an event's name is left out."""
        size = struct.unpack("!I", self._read(4))[0]
        if not 1 <= size <= PACKET_SIZE_MAX:
            raise ValueError(f"a packet of {size} octets")
        packet = self._read(size)
        if packet[0] == EVENT:
            return EVENT, decode(packet[2 + packet[1]:])
        return packet[0], decode(packet[1:])

    def _read(self, size):
        octets = bytearray()
        deadline = None if self.socket.gettimeout() is None else time.monotonic() + self.socket.gettimeout()
        while len(octets) < size:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError("the answer does not come to its end")
            part = self.socket.recv(size - len(octets))
            if not part:
                raise ConnectionError("the vici socket was closed")
            octets += part
        return bytes(octets)

    def request(self, command: str, message: Optional[Mapping[str, Any]] = None) -> Message:
        """Sends a command and waits for its answer. Raises LookupError: the daemon does not know it."""
        self.send(COMMAND, command, encode(message or {}))
        while True:
            kind, content = self.receive()
            if kind == RESPONSE:
                return content
            if kind == UNKNOWN_COMMAND:
                raise LookupError(f"the daemon does not know the command '{command}'")

    def register(self, event: str) -> None:
        """From now on that event's packets come, also between a command and its answer."""
        self.send(REGISTER, event)
        kind, _ = self.receive()
        if kind != CONFIRMED:
            raise LookupError(f"the daemon does not know the event '{event}'")

    def stream(self, command: str, event: str, message: Optional[Mapping[str, Any]] = None) -> Iterator[Message]:
        """What a command tells as events before its answer, such as list-sas."""
        self.register(event)
        self.send(COMMAND, command, encode(message or {}))
        events = []
        while True:
            kind, content = self.receive()
            if kind == RESPONSE:
                return iter(events)
            if kind == UNKNOWN_COMMAND:
                raise LookupError(f"the daemon does not know the command '{command}'")
            events.append(content)
