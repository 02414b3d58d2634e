#!/usr/bin/env python3
"""Real links that go down and come back, under a tunnel on the kernel's ESP. Runs inside a kernel that has it (run-in-uml).

West watches its uplink. What it tries to send is counted where it leaves imagod, by iptables in west's OUTPUT, before
any link or route can swallow it. Prints one JSON object a line for each case, {"case": ..., "result": "pass" or
"fail: why"}. Ends with 1 if one failed.
"""

import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.dont_write_bytecode = True
os.environ["IMAGO_BACKEND"] = "xfrm"

from libcaserun import expect, main  # noqa: E402
from libconfig import configuration  # noqa: E402
from libpeers import INSIDE, NETWORK, WIRE, Imagod, other, run, wait_until  # noqa: E402

DPD_SECONDS = 1
OUTAGE_SECONDS = 6 * DPD_SECONDS  # in which liveness checks and their repetition are due
FAR = "198.51.100.2"  # east's, beyond a route
PATIENCE_SECONDS = 60
LINK, ADDRESS, ROUTE = "link", "address", "route"


class Wire:
    """West with a tunnel to east; what the cases do to the wire between."""

    def __init__(self, lab, east_address=WIRE[4]["east"]):
        self.lab, self.east_address = lab, east_address
        self.add_ways("east")
        self.ip("east", "address", "add", FAR, "dev", "lo")
        self.add_ways("west")
        texts = {name: configuration(name, connection=f"dpd_delay = {DPD_SECONDS}s").replace(WIRE[4]["east"], east_address)
                 for name in ("west", "east")}
        self.east = lab.start(Imagod(lab, "east", texts["east"]))
        # Another connection, for what wants to start meanwhile.
        self.west = lab.start(Imagod(lab, "west", texts["west"] + OTHER.format(remote=east_address)))
        self.inside("west", "iptables-legacy", "-A", "OUTPUT", "-p", "udp")
        self.west.initiate()
        self.lab.ping_both_ways()
        self.spis = self.all_spis()
        expect(len(self.spis) == 3, "one IKE SA and a pair of ESP SAs")

    def ip(self, name, *command, is_checked=True):
        return run("ip", "-n", self.lab.namespace(name), *command, is_checked=is_checked).stdout

    def inside(self, name, *command):
        return run(*self.lab.inside(name, *command)).stdout

    def add_ways(self, name):
        """What a link takes along when it goes down, and who manages it sets again."""
        via = ("via", WIRE[4][other(name)])
        self.ip(name, "route", "replace", NETWORK[4][other(name)], *via, "src", INSIDE[4][name])
        if name == "west":
            self.ip(name, "route", "replace", FAR, *via)

    def all_spis(self):
        ike = {sa["initiator-spi"] for sa in self.west.established()}
        return ike | set(re.findall("spi (0x[0-9a-f]+)", self.ip("west", "xfrm", "state")))

    def tried(self):
        """Datagrams that imagod has handed over so far, and those for which there was no way."""
        shown = self.inside("west", "iptables-legacy-save", "-c")
        sent = int(re.search(r"(?m)^\[(\d+):\d+\] -A OUTPUT -p udp", shown).group(1))
        lines = [line.split()[1:] for line in self.inside("west", "cat", "/proc/net/snmp").splitlines()]
        counts = dict(zip(lines[0], lines[1]))
        return sent + int(counts["OutNoRoutes"])

    def wait_for_link(self, state):
        self.west.wait_for_log(rf"uplink eth0 .* is {state}", PATIENCE_SECONDS)

    def stays_quiet(self):
        """Nothing for longer than checks and their first repetitions would take. It is only time that can show it."""
        before, deadline = self.tried(), time.monotonic() + OUTAGE_SECONDS
        while time.monotonic() < deadline:
            expect(self.tried() == before, f"{self.tried() - before} datagrams are sent where nothing arrives")
            time.sleep(DPD_SECONDS / 4)

    def goes_on(self):
        """The same SAs; packets pass; the peer is asked again."""
        self.lab.ping_both_ways()
        expect(self.all_spis() == self.spis, f"the same SAs: {self.spis} are {self.all_spis()}")
        before = self.tried()
        wait_until(lambda: self.tried() > before, "liveness checks again", PATIENCE_SECONDS)
        expect(self.all_spis() == self.spis, "no SA was given up")

    def end(self):
        self.west.terminate("ike", "t")
        wait_until(lambda: not self.west.sas() and not self.east.sas(), "the peer was told", PATIENCE_SECONDS)


OTHER = """connections {{
  late {{
    version = 2
    local_addrs = 192.0.2.1
    remote_addrs = {remote}
    proposals = aes128gcm16-prfsha256-x25519
    local {{
      auth = psk
      id = west.test
    }}
    remote {{
      auth = psk
      id = east.test
    }}
    children {{ late {{
      local_ts = 10.1.0.0/24
      remote_ts = 10.2.0.0/24
      esp_proposals = aes128gcm16-x25519
    }} }}
  }}
}}
"""


def a_silent_peer_is_asked_while_the_link_is_up(lab):
    """What the others must not see: without an outage a stopped peer is probed, and more than once."""
    wire = Wire(lab)
    os.kill(wire.east.process.pid, signal.SIGSTOP)
    try:
        before = wire.tried()
        wait_until(lambda: wire.tried() >= before + 2, "a check and its repetition", PATIENCE_SECONDS)
    finally:
        os.kill(wire.east.process.pid, signal.SIGCONT)
    wire.goes_on()
    wire.end()


def carrier_lost_and_back(lab):
    """The far end of the wire goes down: west's link stays set up, with its addresses and routes."""
    wire = Wire(lab)
    wire.ip("east", "link", "set", "eth0", "down")
    wire.wait_for_link("down")
    expect("NO-CARRIER" in wire.ip("west", "link", "show", "eth0"), "no carrier")
    wire.stays_quiet()
    # Who wants to start meanwhile waits, and then does.
    before = wire.tried()
    late = subprocess.Popen(["swanctl", "--initiate", "--child", "late", "--timeout", str(PATIENCE_SECONDS), "--uri",
                             f"unix://{wire.west.vici}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            env=wire.west.environment)
    try:
        wire.stays_quiet()
        expect(late.poll() is None and wire.tried() == before, "no IKE_SA_INIT either")
        wire.ip("east", "link", "set", "eth0", "up")
        wire.add_ways("east")
        wire.wait_for_link("up, was reviving")
        expect(late.wait(PATIENCE_SECONDS) == 0, "the connection that waited is up")
    finally:
        if late.poll() is None:
            late.kill()
            late.wait()
    wire.west.terminate("ike", "late")
    wire.goes_on()
    wire.end()


def link_set_down_and_up(lab):
    wire = Wire(lab)
    wire.ip("west", "link", "set", "eth0", "down")
    wire.wait_for_link("down")
    settle(wire)
    wire.stays_quiet()
    wire.ip("west", "link", "set", "eth0", "up")
    wire.add_ways("west")
    wire.wait_for_link("up, was reviving")
    wire.goes_on()
    wire.end()


def address_removed_and_given_again(lab):
    wire = Wire(lab)
    address = f"{WIRE[4]['west']}/24"
    wire.ip("west", "address", "delete", address, "dev", "eth0")
    wait_until(lambda: WIRE[4]["west"] not in wire.ip("west", "address", "show", "eth0"), "it is gone")
    settle(wire)
    wire.stays_quiet()
    wire.ip("west", "address", "add", address, "dev", "eth0")
    wire.add_ways("west")
    wire.goes_on()
    wire.end()


def route_withdrawn_and_back(lab):
    """East is reached at an address beyond a route; the link and its addresses stay as they are."""
    wire = Wire(lab, FAR)
    wire.ip("west", "route", "delete", FAR)
    settle(wire)
    wire.stays_quiet()
    wire.add_ways("west")
    wire.goes_on()
    wire.end()


def settle(wire):
    """Until imagod has seen to it: half a second after routes have changed it looks for them, and that counts as an attempt, too.

    What it would send instead does not stop for long: it is repeated within the outage.
    """
    last = wire.tried(), time.monotonic()

    def is_quiet():
        nonlocal last
        now = wire.tried()
        if now != last[0]:
            last = now, time.monotonic()
        return time.monotonic() - last[1] > 2.5 * DPD_SECONDS
    wait_until(is_quiet, "imagod sends no more", PATIENCE_SECONDS)


CASES = (a_silent_peer_is_asked_while_the_link_is_up, carrier_lost_and_back, link_set_down_and_up,
         address_removed_and_given_again, route_withdrawn_and_back)


if __name__ == "__main__":
    main(CASES, "links: ")
