"""One case of the table: a way through a connection's life, each step a feature."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

from libconfig import configuration
from libnat import PRIVATE, NatLab
from libpeers import INSIDE, WIRE, Imagod, Lab, other, run
from libpeers import wait_until as wait_for_seconds
from librefused import Refusals
from libtraffic import enter_and

LIFE = ("tunnel", "child rekey by Imago", "IKE rekey by Imago", "child rekey by peer", "IKE rekey by peer",
        "delete", "nothing left")
KILLS = ("tunnel", "Imago killed, back", "peer killed, back", "delete", "nothing left")
FEATURES = (*LIFE[:5], *KILLS[1:3], *LIFE[5:])  # the table's columns
ENCRYPTED_FRAGMENT = 53  # RFC 7383 section 2.5
PATIENCE_SECONDS = 60  # a guest may share its core


@dataclass(frozen=True)
class Shape:
    """What a tunnel is made of; outside and inside are versions of IP."""
    name: str
    outside: int = 4
    inside: int = 4
    is_transport: bool = False
    has_nat: bool = False  # before who begins
    uses_esn: bool = False
    is_fragmented: bool = False
    is_killed: bool = False

    @property
    def features(self):
        return KILLS if self.is_killed else LIFE


SHAPES = {shape.name: shape for shape in (
    Shape("tunnel"), Shape("tunnel in IPv6", 6, 6), Shape("IPv4 in IPv6", 6, 4), Shape("IPv6 in IPv4", 4, 6),
    Shape("transport", is_transport=True), Shape("NAT", has_nat=True), Shape("ESN", uses_esn=True),
    Shape("fragments", is_fragmented=True), Shape("kill -9", is_killed=True))}


def wait_until(is_true, what):
    return wait_for_seconds(is_true, what, PATIENCE_SECONDS)


def first_line(problem):
    return " ".join(str(problem).split())[:160]


class FragmentCount:
    """Encrypted fragments on the wire by source address, at west's end of it."""

    def __init__(self, lab):
        def make():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            made.bind(("eth0", 3))
            made.settimeout(0.2)
            return made
        self.socket = enter_and(lab.namespace("west"), make)

    def read(self):
        """{source: fragments} of what has arrived by now."""
        counts = {}
        with contextlib.suppress(TimeoutError):
            while True:
                frame = self.socket.recv(4000)
                message = frame[42:]  # Ethernet, IPv4 without options, UDP
                if frame[12:14] != b"\x08\x00" or frame[23] != 17:
                    continue
                if message[:4] == bytes(4):
                    message = message[4:]
                if len(message) > 28 and message[16] == ENCRYPTED_FRAGMENT:
                    source = socket.inet_ntoa(frame[26:30])
                    counts[source] = counts.get(source, 0) + 1
        self.socket.close()
        return counts


class Case:
    def __init__(self, kind, role, auth, shape, authorities):
        self.kind, self.role, self.auth, self.shape = kind, role, auth, SHAPES[shape]
        self.credentials = None if auth == "psk" else authorities(auth)
        self.is_transport = self.shape.is_transport
        self.hidden = ("west" if role == "initiator" else "east") if self.shape.has_nat else None
        self.addresses = WIRE[self.shape.outside] if self.is_transport else INSIDE[self.shape.inside]

    def own_address(self, name):
        return PRIVATE["own"] if name == self.hidden else WIRE[self.shape.outside][name]

    def peer_address(self, name):
        """What `name` calls its peer."""
        return WIRE[self.shape.outside][other(name)]

    def configuration(self, name):
        """In swanctl's language."""
        ike, esp = self.kind.PROPOSALS
        own = {"auth": "psk" if self.auth == "psk" else "pubkey", "outside": self.shape.outside,
               "inside": self.shape.inside, "proposals": (ike, esp + ("-esn" if self.shape.uses_esn else "")),
               "local_addrs": self.own_address(name)}
        if self.is_transport:
            own.update(local_ts="dynamic", remote_ts="dynamic", child="mode = transport")
        return configuration(name, **own)

    def run(self):
        """{feature: "pass", "fail: why" or "skipped: why"}"""
        features = self.shape.features
        cells = {}
        self.refusals = Refusals()
        self.lab = NatLab(self.hidden) if self.hidden else Lab()
        steps = {"tunnel": self.bring_up, "child rekey by Imago": lambda: self.rekey(self.west, "child"),
                 "IKE rekey by Imago": lambda: self.rekey(self.west, "ike"),
                 "child rekey by peer": lambda: self.rekey(self.peer, "child"),
                 "IKE rekey by peer": lambda: self.rekey(self.peer, "ike"),
                 "Imago killed, back": lambda: self.kill(self.west), "peer killed, back": lambda: self.kill(self.peer),
                 "delete": self.delete, "nothing left": self.leave_nothing}
        try:
            self.before = self.kernel_of_imago()
            self.peer = self.lab.start(self.kind(self.lab, self, self.credentials))
            self.west = Imagod(self.lab, "west", self.configuration("west"), self.credentials,
                               ("--state", os.path.join(self.lab.folder, "state")))
            self.lab.start(self.west)
            for feature in features:
                print(f"-- {self.kind.NAME}, {self.role}, {self.auth}, {self.shape.name}: {feature}", file=sys.stderr,
                      flush=True)
                reason = self.kind.lacks(self, feature)
                if reason:
                    cells[feature] = f"skipped: {reason}"
                    continue
                steps[feature]()
                cells[feature] = "pass"
        except (AssertionError, OSError, KeyError, subprocess.SubprocessError) as problem:
            failed = next((feature for feature in features if feature not in cells), features[-1])
            cells[failed] = f"fail: {first_line(problem)}"
            print(f"{self.kind.NAME}: {problem}\n{self.lab.logs()}", file=sys.stderr, flush=True)
        finally:
            self.lab.remove()
        return {feature: cells.get(feature, "skipped: a step before it failed") for feature in features}

    def kernel_of_imago(self):
        return [run("ip", "-n", self.lab.namespace("west"), "xfrm", what).stdout for what in ("state", "policy")]

    def spis(self, kind):
        sas = self.west.established()
        if kind == "ike":
            return {sa["initiator-spi"] + sa["responder-spi"] for sa in sas}
        return {child["spi-in"] for sa in sas for child in sa["child-sas"].values() if child["state"] == "INSTALLED"}

    def ping(self):
        self.lab.ping_both_ways(self.addresses)

    def wait_for_one(self):
        wait_until(lambda: len(self.spis("ike")) == 1 and len(self.spis("child")) == 1, "one IKE SA and one Child SA")

    def bring_up(self):
        fragments = FragmentCount(self.lab) if self.shape.is_fragmented else None
        self.initiate()
        self.wait_for_one()
        self.ping()
        state = self.kernel_of_imago()[0]
        assert "proto esp" in state, "no ESP SA in the kernel"
        assert ("esn" in state) == self.shape.uses_esn, f"ESN in the kernel's SAs: {state}"
        if self.hidden:
            assert "type espinudp" in state, f"no ESP in UDP: {state}"
            assert self.hidden == "west" or "dport 20" in state or "sport 20" in state, f"no changed port: {state}"
        if fragments:
            seen = fragments.read()
            assert len(seen) == 2, f"fragments of IKE messages, by source: {seen}"

    def initiate(self):
        if self.role == "responder":
            self.peer.initiate()
            return
        try:
            self.west.initiate()
        except AssertionError:
            # OpenIKED throws away what began while it was still being started, and answers nothing more to it.
            forgets = getattr(self.kind, "FORGETS", None)
            if not forgets or forgets not in self.peer.log():
                raise
            print(f"-- {self.kind.NAME} has forgotten what began too early: once more", file=sys.stderr, flush=True)
            self.west.swanctl("--terminate", "--ike", "t", "--force", "--timeout", "1")
            self.west.initiate()

    def rekey(self, who, kind):
        before = self.spis(kind)
        who.rekey(kind, {"child": "net", "ike": "t"}[kind])
        wait_until(lambda: len(self.spis(kind)) == 1 and not self.spis(kind) & before, f"one new {kind} SA")
        self.ping()

    def kill(self, who):
        """kill -9; it is started again and begins, and packets pass again both ways."""
        before = self.spis("ike")
        who.program.end(signal.SIGKILL)
        assert who is not self.west or "proto esp" in self.kernel_of_imago()[0], "nothing was left to be taken back"
        who.start()
        if who is self.west:
            # Its sockets have policies of their own by now.
            wait_until(lambda: self.kernel_of_imago()[0] == self.before[0] and "tmpl" not in self.kernel_of_imago()[1],
                       "what the killed one left in the kernel is gone")
        who.initiate()
        wait_until(lambda: len(self.spis("ike") - before) == 1, "a new IKE SA")
        self.ping()
        # Imago deletes the older of two that are alike, but nobody is there to answer; the test does not wait for that.
        for _, sa in self.west.sas():
            if sa["initiator-spi"] + sa["responder-spi"] in before:
                self.west.swanctl("--terminate", "--ike-id", sa["uniqueid"], "--force", "--timeout", "1")
        self.wait_for_one()
        self.ping()

    def delete(self):
        # Each deletes what the other began; but not against a peer that begins anew what it began.
        is_begun_by_peer = self.role == "responder" or self.shape.is_killed
        is_by_imago = is_begun_by_peer != self.kind.REVIVES
        (self.west if is_by_imago else self.peer).terminate("ike", "t")
        if getattr(self.kind, "ANSWERS_ALL_DELETES", True):
            wait_until(lambda: not self.west.sas(), "no SA listed by Imago")
        wait_until(lambda: not self.west.established(), "no SA established with Imago")

    def leave_nothing(self):
        # A Child SA's inbound SA lingers for packets under way.
        wait_until(lambda: self.kernel_of_imago()[0] == self.before[0], "no SA in the kernel")
        code = self.west.stop()
        assert code == 0, f"imagod ended with {code}"
        assert self.kernel_of_imago() == self.before, "something stays in the kernel"
        self.refusals.expect_none()
