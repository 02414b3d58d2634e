#!/usr/bin/env python3
"""One Child SA on the kernel's ESP, one packet, one KILL: what imagod and the kernel say to each other meanwhile.

The netlink messages as an nlmon device sees them, and imagod's log beside them; docs/data-path.md shows
a run. Needs root and a kernel that has ESP and nlmon: tests/lab/run-in-uml -- tests/lab/data_path.py
"""

import os
import re
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.dont_write_bytecode = True
os.environ["IMAGO_BACKEND"] = "xfrm"

from libconfig import configuration  # noqa: E402
from libnetlink import NetlinkMonitor  # noqa: E402
from libpeers import Imagod, Lab, run, wait_until  # noqa: E402
from libprograms import IMAGOCTL  # noqa: E402
from librefused import Refusals  # noqa: E402

CONNECTION = "dpd_delay = 30s"  # so that the SA says when it is in use


class Story:
    """West is told what to do; what happens is printed, step by step."""

    def __init__(self):
        self.lab = Lab()
        self.heard = NetlinkMonitor(self.lab, "west")
        self.logged = 0
        self.west, self.east = (Imagod(self.lab, name, configuration(name, connection=CONNECTION),
                                       options=("--state", os.path.join(self.lab.folder, f"state-{name}")))
                                for name in ("west", "east"))

    def step(self, title, action):
        action()
        lines = self.heard.lines()
        print(f"\n== {title}", *lines, sep="\n")
        said, self.logged = self.west.log()[self.logged:], len(self.west.log())
        for line in said.splitlines():
            if not re.search(r"control +-|ready|sandbox", line):
                print(f"log: {re.sub('^[^ ]+ ', '', line)}")
        return lines

    def start(self):
        for daemon in (self.east, self.west):
            self.lab.start(daemon)

    def kill_while_rekeying(self):
        """East is stopped, so that its answer never comes: the SPI is asked for, and its larval SA waits."""
        os.kill(self.east.process.pid, signal.SIGSTOP)
        try:
            self.west.swanctl("--rekey", "--child", "net")
            self.west.wait_for_log("sending CREATE_CHILD_SA request")
            run(IMAGOCTL, "--uri", f"unix://{self.west.vici}", "kill", "t")
            wait_until(lambda: not run("ip", "-n", self.lab.namespace("west"), "xfrm", "state").stdout, "no SA")
        finally:
            os.kill(self.east.process.pid, signal.SIGCONT)

    def tell(self):
        self.start()
        self.heard.lines()  # a trial SA, and what an imagod before it might have left
        made = self.step("a Child SA", self.west.initiate)
        used = self.step("one packet each way", lambda: self.lab.ping("west", count=1))
        killed = self.step("a KILL while a rekey waits for the peer", self.kill_while_rekeying)
        for lines, kinds in ((made, ("ALLOCSPI", "UPDSA", "NEWSA", "NEWPOLICY")), (used, ("event NEWAE",)),
                             (killed, ("ALLOCSPI", "DELSA", "DELPOLICY"))):
            for kind in kinds:
                assert any(kind in line for line in lines), f"no {kind} was heard"


def main():
    refusals = Refusals()
    story = Story()
    try:
        print(f"Linux {os.uname().release}")
        story.tell()
        refusals.expect_none()
    except AssertionError as problem:
        print(f"data_path: {problem}\n{story.lab.logs()}", file=sys.stderr)
        return 1
    finally:
        story.lab.remove()
    return 0


if __name__ == "__main__":
    if os.geteuid() != 0 or run("ip", "xfrm", "state", is_checked=False).returncode != 0:
        sys.exit("data_path: needs root and a kernel with ESP; tests/lab/run-in-uml has one")
    sys.exit(main())
