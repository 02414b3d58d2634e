"""One case of the table: a way through a connection's life, each step a feature."""

import sys

from libconfig import configuration
from libpeers import INSIDE, WIRE, Imagod, Lab, run, wait_until

FEATURES = ("tunnel", "child rekey by Imago", "IKE rekey by Imago", "child rekey by peer", "IKE rekey by peer",
            "delete", "nothing left")


def first_line(problem):
    return " ".join(str(problem).split())[:160]


class Case:
    def __init__(self, kind, role, auth, shape, authority):
        self.kind, self.role, self.auth, self.shape, self.authority = kind, role, auth, shape, authority
        self.is_transport = shape == "transport"
        self.family = 6 if "IPv6" in shape else 4
        self.addresses = WIRE[self.family] if self.is_transport else INSIDE[self.family]

    def settings(self):
        """What both ends of swanctl's kind are told."""
        own = {"auth": "psk" if self.auth == "psk" else "pubkey", "outside": self.family, "inside": self.family,
               "proposals": self.kind.PROPOSALS}
        if self.is_transport:
            own.update(local_ts="dynamic", remote_ts="dynamic", child="mode = transport")
        return own

    def run(self):
        """{feature: "pass", "fail: why" or "skipped: why"}"""
        cells = {}
        self.lab = Lab()
        credentials = None if self.auth == "psk" else self.authority
        try:
            self.before = self.kernel_of_imago()
            self.peer = self.lab.start(self.kind(self.lab, self, credentials))
            self.west = self.lab.start(Imagod(self.lab, "west", configuration("west", **self.settings()), credentials))
            steps = (self.bring_up, lambda: self.rekey(self.west, "child"), lambda: self.rekey(self.west, "ike"),
                     lambda: self.rekey(self.peer, "child"), lambda: self.rekey(self.peer, "ike"), self.delete,
                     self.leave_nothing)
            for feature, step in zip(FEATURES, steps):
                print(f"-- {self.kind.NAME}, {self.role}, {self.auth}, {self.shape}: {feature}", file=sys.stderr, flush=True)
                reason = self.kind.lacks(self, feature)
                if reason:
                    cells[feature] = f"skipped: {reason}"
                    continue
                step()
                cells[feature] = "pass"
        except (AssertionError, OSError, KeyError) as problem:
            failed = next((feature for feature in FEATURES if feature not in cells), FEATURES[-1])
            cells[failed] = f"fail: {first_line(problem)}"
            print(f"{self.kind.NAME}: {problem}\n{self.lab.logs()}", file=sys.stderr, flush=True)
        finally:
            self.lab.remove()
        return {feature: cells.get(feature, "skipped: a step before it failed") for feature in FEATURES}

    def kernel_of_imago(self):
        return [run("ip", "-n", self.lab.namespace("west"), "xfrm", what).stdout for what in ("state", "policy")]

    def spis(self, kind):
        sas = self.west.established()
        if kind == "ike":
            return {sa["initiator-spi"] + sa["responder-spi"] for sa in sas}
        return {child["spi-in"] for sa in sas for child in sa["child-sas"].values() if child["state"] == "INSTALLED"}

    def ping(self):
        self.lab.ping_both_ways(self.addresses)

    def bring_up(self):
        (self.west if self.role == "initiator" else self.peer).initiate()
        wait_until(lambda: len(self.spis("ike")) == 1 and len(self.spis("child")) == 1, "one IKE SA and one Child SA")
        self.ping()
        state = self.kernel_of_imago()[0]
        assert "proto esp" in state, "no ESP SA in the kernel"

    def rekey(self, who, kind):
        before = self.spis(kind)
        who.rekey(kind, {"child": "net", "ike": "t"}[kind])
        wait_until(lambda: len(self.spis(kind)) == 1 and not self.spis(kind) & before, f"one new {kind} SA")
        self.ping()

    def delete(self):
        # Each deletes what the other began; but not against a peer that begins anew what it began.
        is_by_imago = (self.role == "responder") != self.kind.REVIVES
        (self.west if is_by_imago else self.peer).terminate("ike", "t")
        wait_until(lambda: not self.west.sas(), "no SA listed by Imago")

    def leave_nothing(self):
        # A Child SA's inbound SA lingers for packets under way.
        wait_until(lambda: self.kernel_of_imago()[0] == self.before[0], "no SA in the kernel")
        code = self.west.stop()
        assert code == 0, f"imagod ended with {code}"
        assert self.kernel_of_imago() == self.before, "something stays in the kernel"
