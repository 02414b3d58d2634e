"""What the test cases of both programs share."""

import unittest

from libpeers import Imagod, Lab, wait_until
from librefused import refusals_here


class PairCase(unittest.TestCase):
    """A lab for each test, and at its end: Imago ends well and leaves nothing in the kernel.

    Nor did its sandbox refuse anything that it asked for, where the host lets us see that.
    """

    MTU = 1500

    def setUp(self):
        self.lab = Lab(self.MTU)
        self.kernel_state_before = {}
        self.refusals = refusals_here()
        self.addCleanup(self.refusals.close)
        self.addCleanup(self.lab.remove)
        self.addCleanup(self.show_logs_of_a_failure)

    def show_logs_of_a_failure(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors) or not self._outcome.success:
            print(f"\n##### logs of {self.id()}\n{self.lab.logs()}\n#####", flush=True)

    def start(self, west, east):
        """Two daemons, not yet started. West is Imago."""
        self.west, self.east = west, east
        self.peer = {"west": west, "east": east}
        for daemon in (west, east):
            if isinstance(daemon, Imagod):
                self.kernel_state_before[daemon.name] = self.lab.kernel_state(daemon.name)
            self.lab.start(daemon)

    def assert_up(self, ike_count=1, child_count=1):
        """Both list the same IKE SAs and the same Child SAs, and nothing half done."""
        def is_up():
            seen = []
            for daemon in (self.west, self.east):
                sas = [sa for _, sa in daemon.sas()]
                children = [child for sa in sas for child in sa["child-sas"].values() if child["state"] != "DELETED"]
                if any(sa["state"] != "ESTABLISHED" for sa in sas) or any(
                        child["state"] != "INSTALLED" for child in children):
                    return False
                seen.append((sorted((sa["initiator-spi"], sa["responder-spi"]) for sa in sas),
                             sorted(frozenset((child["spi-in"], child["spi-out"])) for child in children)))
            (ike, child), (peer_ike, peer_child) = seen
            return (ike == peer_ike and sorted(map(sorted, child)) == sorted(map(sorted, peer_child))
                    and len(ike) == ike_count and len(child) == child_count)
        wait_until(is_up, f"{ike_count} IKE SAs and {child_count} Child SAs at both")

    def assert_tunnel(self, addresses=None):
        self.assert_up()
        self.lab.ping_both_ways(addresses)

    def assert_nothing(self):
        for daemon in (self.west, self.east):
            wait_until(lambda: not daemon.sas(), f"no SA is listed by {daemon.name}")  # noqa: B023

    def spis(self):
        """(IKE SPIs, Child SPIs) as Imago sees them."""
        sas = self.west.established()
        return ({sa["initiator-spi"] + sa["responder-spi"] for sa in sas},
                {child["spi-in"] for sa in sas for child in sa["child-sas"].values()})

    def rekey(self, who, kind):
        """Returns when both have the new SA and only that."""
        before = self.spis()
        self.peer[who].rekey(kind, {"child": "net", "ike": "t"}[kind])
        which = 0 if kind == "ike" else 1
        wait_until(lambda: self.spis()[which] and not self.spis()[which] & before[which], f"a new {kind} SA")
        self.assert_up()

    def end(self):
        """Ends both daemons; Imago must have taken back all it gave the kernel."""
        for daemon in (self.west, self.east):
            status = daemon.stop()
            if isinstance(daemon, Imagod):
                self.assertEqual(status, 0, f"imagod {daemon.name} ended with {status}")
                self.assertEqual(self.lab.kernel_state(daemon.name), self.kernel_state_before[daemon.name])
        self.refusals.expect_none(must_see=False)
