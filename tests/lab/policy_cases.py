#!/usr/bin/env python3
"""What Imago does with the kernel's policies: traps, shunts, leases. Runs inside a kernel that has IPsec (run-in-uml).

Prints one JSON object a line for each case, {"case": ..., "result": "pass" or "fail: why"}. Ends with 1 if one failed.
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

from libcaserun import expect, main  # noqa: E402
from libconfig import configuration  # noqa: E402
from libpeers import INSIDE, NETWORK, WIRE, Imagod, run  # noqa: E402
from libpeers import wait_until as wait_for_seconds  # noqa: E402

PATIENCE_SECONDS = 60  # a guest may share its core
KEY = "0x" + "5a" * 20
OUT = ("src", NETWORK[4]["west"], "dst", NETWORK[4]["east"], "dir", "out")
IN = ("src", NETWORK[4]["east"], "dst", NETWORK[4]["west"], "dir", "in")


def wait_until(is_true, what):
    return wait_for_seconds(is_true, what, PATIENCE_SECONDS)


class Host:
    """One end, and the kernel below it."""

    def __init__(self, lab, name, child="", options=(), more=""):
        self.lab, self.name = lab, name
        text = configuration(name, child=child)
        self.daemon = lab.start(Imagod(lab, name, text + more, options=options))

    def ip(self, *command):
        return run("ip", "-n", self.lab.namespace(self.name), *command).stdout

    def sas(self):
        return self.ip("xfrm", "state")

    def policies(self):
        return self.ip("xfrm", "policy", "show", "nosock")

    def policies_listed(self, *kinds):
        return self.daemon.swanctl("--list-pols", *(f"--{kind}" for kind in kinds)).stdout

    def sysctl(self, name):
        return run(*self.lab.inside(self.name, "cat", f"/proc/sys/net/core/{name}")).stdout.strip()


def trap_and_first_ping(lab):
    east = Host(lab, "east")
    west = Host(lab, "west", "start_action = trap")
    expect((west.sysctl("xfrm_larval_drop"), west.sysctl("xfrm_acq_expires")) == ("0", "165"), "the sysctls are set")
    wait_until(lambda: "reqid" in west.policies(), "the trap in the kernel")
    expect("proto esp" not in west.sas(), "no SA before a packet")
    expect("t/net, TUNNEL" in west.policies_listed("trap"), "swanctl lists the trap")
    before = west.policies()
    # The one packet there is, and its answer: it waits in the kernel for its SA.
    lab.ping("west", count=1)
    expect(len(west.daemon.installed()) == 1, "one Child SA")
    lab.ping_both_ways()
    west.daemon.terminate("ike", "t")
    wait_until(lambda: "proto esp" not in west.sas() and "proto esp" not in east.sas(), "no SA any more")
    expect(west.policies() == before, "the trap stays as it was")
    lab.ping("west", count=1)
    expect(len(west.daemon.installed()) == 1, "once more, by one packet")
    expect(west.daemon.stop() == 0, "a clean end")
    expect(not west.policies() and "proto esp" not in west.sas(), "nothing left")


SHUNTS = """
connections {
  shunts {
    remote_addrs = 127.0.0.1
    children {
      let { mode = pass
            local_ts = 10.1.0.0/24[icmp]
            remote_ts = 10.2.0.0/24[icmp] }
      stop { mode = drop
             start_action = trap
             local_ts = 10.1.0.0/24
             remote_ts = 10.2.0.0/24 }
    }
  }
}
"""


def shunts_and_install(lab):
    Host(lab, "east")
    west = Host(lab, "west", more=SHUNTS)

    def pings():
        return run(*lab.inside("west", "ping", "-n", "-q", "-c", "1", "-W", "1", "-I", INSIDE[4]["west"], INSIDE[4]["east"]),
                   is_checked=False).returncode == 0

    wait_until(lambda: "action block" in west.policies(), "the drop in the kernel")
    expect(not pings(), "drop drops")
    west.daemon.swanctl("--install", "--child", "let")
    expect(pings(), "pass wins over drop")
    listed = west.policies_listed("pass", "drop", "trap")
    expect("shunts/let, PASS" in listed and "shunts/stop, DROP" in listed, "both are listed")
    expect("shunts/stop" not in west.policies_listed("pass"), "only what is asked for is listed")
    west.daemon.swanctl("--uninstall", "--child", "let")
    expect(not pings(), "uninstalled")
    # A trap over the drop: the packet is protected.
    west.daemon.swanctl("--install", "--child", "net")
    lab.ping("west", count=1)
    west.daemon.terminate("ike", "t")
    west.daemon.swanctl("--uninstall", "--child", "net")
    wait_until(lambda: "reqid" not in west.policies(), "the trap is gone")
    expect(west.daemon.swanctl("--uninstall", "--child", "net", is_checked=False).returncode != 0, "it was there once")
    expect("action block" in west.policies(), "the drop stays")
    expect(west.daemon.stop() == 0 and not west.policies(), "nothing left")


def kill_and_start_again(lab):
    state = os.path.join(lab.folder, "state")
    Host(lab, "east")
    west = Host(lab, "west", options=("--state", state))
    wire = WIRE[4]
    foreign = ("src", "192.0.2.9", "dst", wire["west"], "proto", "esp", "spi", "0x1234", "reqid", "99", "mode", "tunnel")
    west.ip("xfrm", "state", "add", *foreign, "aead", "rfc4106(gcm(aes))", KEY, "128")
    west.ip("xfrm", "policy", "add", "src", "10.98.0.0/24", "dst", "10.99.0.0/24", "dir", "out", "priority", "77",
            "tmpl", "src", wire["west"], "dst", "192.0.2.9", "proto", "esp", "reqid", "99", "mode", "tunnel")
    sas, policies = west.sas(), west.policies()
    west.daemon.initiate()
    lab.ping_both_ways()
    expect(west.sas().count("proto esp") == 3, "two SAs beside the foreign one")
    west.daemon.process.kill()
    west.daemon.process.wait()
    expect(west.sas().count("proto esp") == 3, "a kill leaves them")

    west.daemon.start()
    wait_until(lambda: west.sas() == sas and west.policies() == policies, "only what is foreign is left")
    # Once more; meanwhile others take names that were ours.
    west.daemon.initiate()
    west.daemon.process.kill()
    west.daemon.process.wait()
    shown = west.ip("xfrm", "policy", "get", *IN)
    reqid, priority = (re.search(rf"{word} (\d+)", shown).group(1) for word in ("reqid", "priority"))

    def template(source, destination):
        return ("tmpl", "src", wire[source], "dst", wire[destination], "proto", "esp", "reqid", reqid, "mode", "tunnel")

    # The same in all but its index; another priority.
    west.ip("xfrm", "policy", "delete", *IN)
    west.ip("xfrm", "policy", "add", *IN, "priority", priority, *template("east", "west"))
    west.ip("xfrm", "policy", "update", *OUT, "priority", "5", *template("west", "east"))
    # The same SPI as one of ours, of another reqid.
    spi = re.search(rf"src {wire['west']} dst {wire['east']}\s+proto esp spi (\S+)", west.sas()).group(1)
    name = ("src", wire["west"], "dst", wire["east"], "proto", "esp", "spi", spi)
    west.ip("xfrm", "state", "delete", *name)
    west.ip("xfrm", "state", "add", *name, "reqid", "98", "mode", "tunnel", "aead", "rfc4106(gcm(aes))", KEY, "128")
    west.daemon.start()
    wait_until(lambda: west.sas().count("proto esp") == 2, "two foreign SAs")
    expect("reqid 98" in west.sas() and "reqid 99" in west.sas(), "those that are not ours")
    left = west.policies()
    expect(left.count("dir ") == 3, "three foreign policies")
    expect("priority 5" in left and "priority 77" in left and f"priority {priority}" in left, "those that are not ours")
    west.ip("xfrm", "policy", "delete", *IN)
    west.ip("xfrm", "policy", "delete", *OUT)
    west.ip("xfrm", "state", "delete", *name)
    west.daemon.initiate()
    lab.ping_both_ways()
    expect(west.daemon.stop() == 0, "a clean end")
    expect(west.sas() == sas and west.policies() == policies, "only what is foreign is left at the end")


COMPACTION_LEAST = 1 << 20  # octets: lease_journal_options
HEADER = re.compile(rb"imago leases 1\n(.)", re.DOTALL)


def records_of(journal):
    """Those behind the header: its magic, a boot ID with its length, three numbers and a checksum."""
    size = HEADER.match(journal).group(1)[0]
    return journal[16 + size + 3 * 8 + 4:]


def full_journal_is_compacted(lab):
    """A journal of a megabyte about little is what a daemon that was killed after weeks leaves; here its own records, many times."""
    state = os.path.join(lab.folder, "state")
    Host(lab, "east")
    west = Host(lab, "west", "start_action = trap", options=("--state", state))
    west.daemon.initiate()
    west.daemon.process.kill()
    west.daemon.process.wait()
    name, = os.listdir(state)
    path = os.path.join(state, name)
    with open(path, "rb") as file:
        journal = file.read()
    records = records_of(journal)
    expect(len(records) > 100, "there are records")
    with open(path, "ab") as file:
        file.write(records * (COMPACTION_LEAST // len(records) + 1))
    before = os.stat(path)
    expect(before.st_size > COMPACTION_LEAST, "a full journal")

    west.daemon.start()  # what it finds there it removes, then the trap is noted, which is one too many
    wait_until(lambda: os.stat(path).st_ino != before.st_ino, "another file has taken its place")
    expect(os.stat(path).st_size < 10000, "a short one")
    expect(os.listdir(state) == [name], "and nothing beside it")
    wait_until(lambda: "proto esp" not in west.sas() and west.policies().count("tmpl") == 3, "what was left is gone, the trap is there")
    # It is the file that counts from now on, and the one that the next process finds.
    lab.ping("west", count=1)
    expect(len(west.daemon.installed()) == 1, "a Child SA")
    west.daemon.process.kill()
    west.daemon.process.wait()
    expect(west.sas().count("proto esp") == 2, "a kill leaves two SAs")
    west.daemon.start()
    wait_until(lambda: "proto esp" not in west.sas(), "what the compacted file has noted is gone")
    expect(west.daemon.stop() == 0 and not west.policies(), "nothing left")


def reads_its_configuration_again(lab):
    """By SIGHUP, in the sandbox, while a tunnel is up: certificates and includes are files, too."""
    Host(lab, "east")
    west = Host(lab, "west")
    west.daemon.initiate()
    included = os.path.join(west.daemon.folder, "more.conf")
    with open(included, "w", encoding="utf-8") as file:
        file.write(SHUNTS)
    with open(west.daemon.configuration, "a", encoding="utf-8") as file:
        file.write("include more.conf\n")
    west.daemon.process.send_signal(signal.SIGHUP)
    west.daemon.wait_for_log("configuration loaded")
    wait_until(lambda: "action block" in west.policies(), "what was included is carried out")
    lab.ping_both_ways(WIRE[4])
    expect(len(west.daemon.installed()) == 1, "the tunnel stays")
    expect(west.daemon.stop() == 0 and not west.policies(), "nothing left")


CASES = (trap_and_first_ping, shunts_and_install, kill_and_start_again, full_journal_is_compacted,
         reads_its_configuration_again)


if __name__ == "__main__":
    main(CASES)
