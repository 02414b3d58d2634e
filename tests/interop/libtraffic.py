"""Sockets in the namespaces: what is sent through the tunnel, what is seen on the wire."""

import contextlib
import ctypes
import socket
import threading
import time

from libpeers import INSIDE

CLONE_NEWNET = 0x40000000


def enter_and(namespace, make):
    """What make() returns, called in the namespace. Only a thread of its own goes there."""
    held = []

    def work():
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with open(f"/run/netns/{namespace}", "rb") as file:
                if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"entering {namespace}")
            held.append((make(), None))
        except OSError as problem:
            held.append((None, problem))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if held[0][1]:
        raise held[0][1]
    return held[0][0]


def udp_socket(address, port):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE: a stall of this process loses nothing
    made.bind((address, port))
    made.settimeout(0.05)
    return made


class Wire:
    """Counts what kinds of packets cross the wire while it is open, at west's end of it."""

    def __init__(self, lab):
        def make():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            made.bind(("eth0", 3))
            made.settimeout(0.2)
            return made
        self.socket = enter_and(lab.namespace("west"), make)
        self.kinds = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Reads what has arrived by now."""
        with contextlib.suppress(TimeoutError):
            while True:
                kind = self.kind_of(self.socket.recv(2000))
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.socket.close()

    @staticmethod
    def kind_of(frame):
        version = {0x0800: 4, 0x86DD: 6}.get(int.from_bytes(frame[12:14], "big"))
        if version is None:
            return "arp" if frame[12:14] == b"\x08\x06" else "no IP"
        protocol, payload = (frame[23], frame[34:]) if version == 4 else (frame[20], frame[54:])
        if version == 6 and (protocol == 0 or protocol == 58 and payload[0] in range(130, 144)):
            return "neighbours"  # and groups of IPv6; as ARP, no traffic of anyone
        if protocol != 17 or payload[0:2] != payload[2:4] or payload[0:2] != (4500).to_bytes(2, "big"):
            return f"IPv{version} {protocol}"
        return f"IKE in IPv{version}" if payload[8:12] == bytes(4) else f"ESP in IPv{version}"


class Flood:
    """Numbered datagrams from west, echoed by east, at a steady rate until it is stopped."""

    PORT = 7007
    INTERVAL_SECONDS = 0.002
    ANSWER_SECONDS_MAX = 15
    DRAIN_SECONDS_MAX = 3

    def __init__(self, lab, addresses=None):
        addresses = addresses or INSIDE[4]
        self.target = (addresses["east"], self.PORT)
        self.sender = enter_and(lab.namespace("west"), lambda: udp_socket(addresses["west"], 0))
        self.echoer = enter_and(lab.namespace("east"), lambda: udp_socket(addresses["east"], self.PORT))
        self.sent, self.arrived, self.answered = 0, set(), set()
        self.changed = threading.Condition()  # of what is answered
        self.sending, self.reading = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.send, self.echo, self.read)]

    def __enter__(self):
        self.sending.set()
        self.reading.set()
        for thread in self.threads:
            thread.start()
        self.wait_for_answers(20)
        return self

    def __exit__(self, failure, *_):
        if not failure:
            self.wait_for_answers(50)  # after the last step, too
        self.sending.clear()
        self.threads[0].join()
        with self.changed:
            self.changed.wait_for(lambda: len(self.answered) == self.sent, self.DRAIN_SECONDS_MAX)
        self.reading.clear()
        for thread in self.threads[1:]:
            thread.join()
        self.sender.close()
        self.echoer.close()

    def wait_for_answers(self, count):
        with self.changed:
            wanted = len(self.answered) + count
            if not self.changed.wait_for(lambda: len(self.answered) >= wanted, self.ANSWER_SECONDS_MAX):
                raise AssertionError(f"{count} answers through the tunnel: not within {self.ANSWER_SECONDS_MAX} s")

    def send(self):
        while self.sending.is_set():
            with contextlib.suppress(OSError):
                self.sender.sendto(self.sent.to_bytes(4, "big") + bytes(60), self.target)
            self.sent += 1
            time.sleep(self.INTERVAL_SECONDS)

    def echo(self):
        while self.reading.is_set():
            with contextlib.suppress(OSError):
                octets, source = self.echoer.recvfrom(200)
                self.arrived.add(octets[:4])
                self.echoer.sendto(octets, source)

    def read(self):
        while self.reading.is_set():
            with contextlib.suppress(OSError):
                octets = self.sender.recv(200)
                with self.changed:
                    self.answered.add(octets[:4])
                    self.changed.notify_all()

    @property
    def lost(self):
        return {"towards the peer": self.sent - len(self.arrived), "back": len(self.arrived) - len(self.answered)}
