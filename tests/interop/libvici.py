"""The control protocol, as far as listing needs it."""

import socket
import struct


class Vici:
    """One connection to a vici socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, kind, name, content=b""):
        packet = bytes([kind, len(name)]) + name.encode() + content
        self.socket.sendall(struct.pack("!I", len(packet)) + packet)

    def receive(self):
        packet = self.read(struct.unpack("!I", self.read(4))[0])
        if packet[0] in (1, 5, 6):  # response; event confirmed; event unknown
            return packet[0], self.parse(packet[1:])
        if packet[0] != 7:
            raise AssertionError(f"vici packet of kind {packet[0]}")
        return 7, self.parse(packet[2 + packet[1]:])

    def read(self, size):
        octets = b""
        while len(octets) < size:
            part = self.socket.recv(size - len(octets))
            if not part:
                raise AssertionError("the vici socket was closed")
            octets += part
        return octets

    @staticmethod
    def parse(octets):
        root, stack, at, items = {}, [], 0, None
        here = root

        def counted(at, width):
            size = int.from_bytes(octets[at:at + width], "big")
            return octets[at + width:at + width + size].decode("utf-8", "replace"), at + width + size

        while at < len(octets):
            kind, at = octets[at], at + 1
            if kind == 1:  # a section begins
                name, at = counted(at, 1)
                stack.append(here)
                here[name] = here = {}
            elif kind == 2:
                here = stack.pop()
            elif kind == 3:
                name, at = counted(at, 1)
                here[name], at = counted(at, 2)
            elif kind == 4:
                name, at = counted(at, 1)
                here[name] = items = []
            elif kind == 5:
                item, at = counted(at, 2)
                items.append(item)
        return root

    def stream(self, command, event):
        self.send(3, event)
        self.receive()
        self.send(0, command)
        events = []
        while True:
            kind, content = self.receive()
            if kind == 1:
                return events
            events.append(content)
