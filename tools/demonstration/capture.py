"""Counts what crosses a wire, from packet sockets: no tool of the host is needed.

At each end only what leaves: what arrives the kernel shows once more when its IPsec has opened it.
"""

import ctypes
import os
import select
import socket
import struct
import threading
import time

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SOL_PACKET = 263
SO_RCVBUFFORCE = 33
PACKET_STATISTICS = 6
RECEIVE_BUFFER_SIZE_MAX = 16 << 20  # bytes; a flood of a few thousand frames a second fits many times
DRAIN_SECONDS_MAX = 1  # a flood that goes on must not keep the capture
PATTERN = b"in-the-clear"  # ping repeats it in every packet; sealed, it never shows


def open_socket_in(namespace, interface):
    """A packet socket that lives in another network namespace. Only the thread moves there."""
    held = []

    def move_and_open():
        descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if libc.setns(descriptor, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"entering the namespace {namespace}")
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            try:
                made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_SIZE_MAX)
            except PermissionError:  # root of a user namespace only: what the host allows
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_SIZE_MAX)
            made.bind((interface, ETH_P_ALL))
            made.setblocking(False)
            held.append(made)
        except OSError as problem:
            held.append(problem)
        finally:
            os.close(descriptor)

    thread = threading.Thread(target=move_and_open)
    thread.start()
    thread.join()
    if isinstance(held[0], OSError):
        raise held[0]
    return held[0]


class Capture:
    """`has_plain_esp`: ESP is IP protocol 50; else it is in UDP, and anything else is other."""

    def __init__(self, has_plain_esp=False):
        self.has_plain_esp = has_plain_esp
        self.counts = {"esp": 0, "ike": 0, "keepalive": 0, "other": 0, "plaintext": 0, "arp": 0, "lost": 0}
        self.esp_spis = {}  # source address: SPIs
        self.ike_spis = set()
        self.other_kinds = set()
        self.sockets = []
        self.thread = None
        self.stopping = threading.Event()

    def start(self, *namespaces):
        """Both ends of the wire."""
        self.sockets = [open_socket_in(namespace, "eth0") for namespace in namespaces]
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        """Until it is stopped and has read what had arrived by then; never longer than a second."""
        drained_by = None
        while drained_by is None or time.monotonic() < drained_by:
            if drained_by is None and self.stopping.is_set():
                drained_by = time.monotonic() + DRAIN_SECONDS_MAX
            ready, _, _ = select.select(self.sockets, [], [], 0.1)
            if not ready and drained_by is not None:
                return
            for one in ready:
                try:
                    frame, source = one.recvfrom(65536)
                except OSError:  # the interface is gone
                    return
                if source[2] == socket.PACKET_OUTGOING:
                    self.count(frame)

    def stop(self):
        if self.thread is None:
            return
        self.stopping.set()
        self.thread.join()
        self.thread = None
        for one in self.sockets:
            seen_and_lost = one.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            self.counts["lost"] += struct.unpack("=II", seen_and_lost)[1]
            one.close()

    def count(self, frame):
        if PATTERN in frame:
            self.counts["plaintext"] += 1
        kind = int.from_bytes(frame[12:14], "big")
        if kind == 0x0806:
            self.counts["arp"] += 1
        elif kind == 0x0800 and len(frame) >= 34:
            self.count_ipv4(frame[14:])
        else:
            self.count_other(f"ethertype {kind:#06x}")

    def count_other(self, kind):
        self.counts["other"] += 1
        self.other_kinds.add(kind)

    def count_ipv4(self, packet):
        header_size = (packet[0] & 15) * 4
        udp = packet[header_size:]
        if self.has_plain_esp and packet[9] == 50 and len(udp) >= 8:
            self.count_esp(packet, udp)
            return
        if packet[9] != 17 or len(udp) < 8:
            self.count_other(f"IP protocol {packet[9]}")
            return
        ports = struct.unpack("!HH", udp[:4])
        # The padding of short Ethernet frames is no part of the datagram.
        payload = udp[8:int.from_bytes(udp[4:6], "big")]
        if not {500, 4500} & set(ports):
            self.count_other(f"UDP {ports[0]} to {ports[1]}")
        elif 4500 not in ports:
            self.count_ike(payload)
        elif payload == b"\xff":
            self.counts["keepalive"] += 1
        elif payload[:4] == bytes(4):  # RFC 3948: the non-ESP marker
            self.count_ike(payload[4:])
        else:
            self.count_esp(packet, payload)

    def count_esp(self, packet, payload):
        self.counts["esp"] += 1
        source = socket.inet_ntoa(packet[12:16])
        self.esp_spis.setdefault(source, set()).add(payload[:4])

    def count_ike(self, message):
        self.counts["ike"] += 1
        if message[8:16] != bytes(8):  # before the responder has answered there is no IKE SA
            self.ike_spis.add(message[:16])

    def result(self):
        return {**self.counts, "other_kinds": sorted(self.other_kinds), "ike_sas": len(self.ike_spis),
                "esp_spis": {source: len(spis) for source, spis in sorted(self.esp_spis.items())}}
