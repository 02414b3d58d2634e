#!/usr/bin/env python3
"""etc/imagod.service under a real systemd, on the kernel's ESP. Runs inside a kernel that has it (run-in-uml).

systemd is process 1 of west's network namespace; east is an imagod of its own. Prints one JSON object a line for
each case, {"case": ..., "result": "pass", "fail: why" or "skipped: why"}. Ends with 1 if one failed.
"""

import errno
import json
import os
import re
import shutil
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.dont_write_bytecode = True
os.environ["IMAGO_BACKEND"] = "xfrm"

from libcaserun import expect  # noqa: E402
from libconfig import configuration  # noqa: E402
from libpeers import Imagod, Lab, run  # noqa: E402
from libpeers import wait_until as wait_for_seconds  # noqa: E402
from libprograms import KEPT_MOST  # noqa: E402
from librefused import Refusals  # noqa: E402
from libsystemd import UNIT, UNITS, ServiceImagod, Systemd, install_programs, why_not, write  # noqa: E402

PROBE = os.path.join(HERE, "systemd_probe.py")
PYTHON = "/usr/bin/python3"  # this one may live in a home, which the unit hides, as this tree may
PROBE_INSTALLED = "/usr/local/bin/imago-probe"
PROBE_SAID = "/run/imago-probe"
REFUSED = {errno.EPERM, errno.EACCES, errno.EROFS, errno.EAFNOSUPPORT, errno.ENOENT}
OF_DEVICES = "another's device"
PATIENCE_SECONDS = 60


def wait_until(is_true, what):
    return wait_for_seconds(is_true, what, PATIENCE_SECONDS)


class Host:
    """West with systemd, east without."""

    def __init__(self):
        install_programs()
        self.lab = Lab()
        self.systemd = Systemd(self.lab, "west")
        self.east = self.lab.start(Imagod(self.lab, "east", configuration("east")))
        self.west = ServiceImagod(self.lab, "west", configuration("west"), self.systemd)
        self.lab.daemons.append(self.west)
        self.before = self.kernel()
        self.systemd.boot()

    def kernel(self):
        return [run("ip", "-n", self.lab.namespace("west"), "xfrm", what).stdout for what in ("state", "policy")]

    def has_sas(self):
        return "proto esp" in self.kernel()[0]

    def tunnel(self):
        self.west.initiate()
        self.lab.ping_both_ways()
        expect(self.has_sas() and "tmpl" in self.kernel()[1], "the kernel has SAs and policies")

    def remove(self):
        self.lab.remove()
        self.systemd.end()


def probe_unit():
    """The unit as it is, with another program in imagod's place."""
    with open(UNIT, encoding="utf-8") as file:
        text = file.read()
    text = re.sub("(?m)^(ExecReload|Restart|Type)=.*\n", "", text)
    found = re.subn("(?m)^ExecStart=.*$", f"Type=oneshot\nExecStart={PYTHON} {PROBE_INSTALLED}", text)
    expect(found[1] == 1, "one ExecStart")
    return found[0]


def kernel_has(symbol):
    with open("/proc/kallsyms", encoding="ascii") as file:
        return f" {symbol}\n" in file.read()


def refuses_what_imagod_does_not_need(host):
    """Each attempt succeeds without the unit, so that it is the unit that refuses."""
    with open("/tmp/imago-of-all", "w", encoding="ascii"):
        pass
    os.makedirs(f"{PROBE_SAID}.d", exist_ok=True)
    shutil.copy(PROBE, PROBE_INSTALLED)
    os.mknod("/dev/imago-probe", stat.S_IFCHR | 0o666, os.makedev(1, 11))  # /dev/kmsg by another name
    free = json.loads(host.systemd.run("env", f"RUNTIME_DIRECTORY={PROBE_SAID}.d", PYTHON, PROBE_INSTALLED).stdout)
    host.systemd.add_service("probe", probe_unit(), 
                             f"[Service]\nStandardOutput=truncate:{PROBE_SAID}\nStandardError=inherit\n")
    host.systemd.systemctl("daemon-reload")
    started = host.systemd.systemctl("start", "probe", is_checked=False)
    with open(PROBE_SAID, encoding="utf-8") as file:
        said = file.read()
    expect(started.returncode == 0, f"the probe under the unit: {said}{host.systemd.systemctl('status', 'probe', is_checked=False).stdout}")
    bound = json.loads(said)
    for name, code in free.items():
        expect(code == 0, f"without the unit: {name}: {os.strerror(code)}")
    for name, code in bound.items():
        print(f"   {name}: {os.strerror(code) if code else 'done'}", file=sys.stderr)
        if name.startswith("needed: "):
            expect(code == 0, f"{name}: {os.strerror(code)}")
        elif name == OF_DEVICES and not kernel_has("__cgroup_bpf_check_dev_permission"):
            print("   ... this kernel has no device control for cgroups (CONFIG_CGROUP_BPF)", file=sys.stderr)
        else:
            expect(code in REFUSED, f"under the unit: {name}: {os.strerror(code) if code else 'done'}")


def starts_and_is_confined(host):
    host.west.start()
    expect(host.west.state() == "active", "READY=1 has been heard")
    expect("in a sandbox of" in host.west.log(), "its own sandbox, too")
    threads = host.west.threads()
    expect(len(threads) > 3, "its threads are there")
    for thread in threads:
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            expect(int(thread[kind], 16) == KEPT_MOST, f"{kind} {thread[kind]}")
        expect(int(thread["CapAmb"], 16) == 0 and int(thread["CapInh"], 16) == 0, "nothing to inherit")
        expect(thread["NoNewPrivs"] == "1" and thread["Seccomp"] == "2", "no new privileges, a filter")
        expect(int(thread["Seccomp_filters"]) > 2, "systemd's filters and both of its own")


def carries_a_tunnel(host):
    host.tunnel()
    said = json.loads(host.systemd.run("imagoctl", "stats").stdout)
    expect(int(said["ikesas"]["total"]) == 1, f"imagoctl stats counts the IKE SA: {said}")
    expect("ESTABLISHED" in host.systemd.run("imagoctl", "status").stdout, "imagoctl status shows the IKE SA")


def reloads(host):
    pid, spis = host.west.main_pid(), host.kernel()[0]
    text = configuration("west")
    host.west.configure(text.replace("  t {", "  other {\n    remote_addrs = 127.0.0.1\n  }\n  t {", 1))
    host.systemd.systemctl("reload", "imagod")
    expect("other:" in host.west.swanctl("--list-conns").stdout, "the new connection, as soon as systemctl returns")
    host.west.configure("connections {")
    expect(host.systemd.systemctl("reload", "imagod", is_checked=False).returncode != 0, "an error is told to who reloads")
    expect("other:" in host.west.swanctl("--list-conns").stdout and host.west.state() == "active", "and changes nothing")
    host.west.configure(text)
    host.systemd.systemctl("reload", "imagod")
    expect("other:" not in host.west.swanctl("--list-conns").stdout, "as before")
    expect(host.west.main_pid() == pid and host.kernel()[0].count("proto esp") == spis.count("proto esp"), "the same SAs")
    host.lab.ping_both_ways()


def comes_back_after_a_kill(host):
    pid, spis = host.west.main_pid(), set(re.findall("spi 0x[0-9a-f]+", host.kernel()[0]))
    expect(len(spis) == 2, "two SAs")
    host.systemd.run("kill", "-KILL", str(pid))
    wait_until(lambda: host.west.state() == "active" and host.west.main_pid() not in (0, pid), "Restart= has its say")
    wait_until(lambda: not host.has_sas() and "tmpl" not in host.kernel()[1], "what the killed one left is gone")
    expect(host.systemd.property("imagod", "NRestarts") == "1", "once")
    host.tunnel()
    expect(not spis & set(re.findall("spi 0x[0-9a-f]+", host.kernel()[0])), "SAs of its own")


def stops_and_leaves_nothing(host):
    spis = {sa["initiator-spi"] for sa in host.west.established()}
    expect(len(spis) == 1, "one IKE SA")
    host.systemd.systemctl("stop", "imagod")
    expect(host.west.state() == "inactive", "inactive")
    expect(host.systemd.property("imagod", "Result") == "success", "a clean end")
    expect(host.systemd.property("imagod", "NRestarts") in ("0", "1"), "nothing refused ended it on the way")
    expect(host.kernel() == host.before, f"nothing in the kernel: {host.kernel()}")
    expect(not os.path.exists("/run/imago"), "nor in its folder")
    # East keeps the killed one's for a while, whose end nobody has told it.
    wait_until(lambda: not spis & {sa["initiator-spi"] for _, sa in host.east.sas()}, "the peer was told")


def carries_a_tunnel_on_user_space_esp(host):
    """By the TUN device, with routes of its own."""
    pid = host.west.main_pid()
    expect(pid == 0, "it does not run")
    write(f"{UNITS}/imagod.service.d/user-esp.conf",
          "[Service]\nExecStart=\nExecStart=imagod --backend user-esp\n")
    host.systemd.systemctl("daemon-reload")
    host.west.start()
    host.west.initiate()
    host.lab.ping_both_ways()
    expect(not host.has_sas(), "not on the kernel's")
    host.systemd.systemctl("stop", "imagod")
    expect(host.systemd.property("imagod", "Result") == "success", "a clean end")


CASES = (refuses_what_imagod_does_not_need, starts_and_is_confined, carries_a_tunnel, reloads, comes_back_after_a_kill,
         stops_and_leaves_nothing, carries_a_tunnel_on_user_space_esp)


def say(case, result):
    print(json.dumps({"case": f"systemd: {case.replace('_', ' ')}", "result": result}), flush=True)


def run_cases():
    """Each goes on where the one before has ended."""
    refusals = Refusals(anywhere=True)
    host = Host()
    failed = None
    try:
        for case in CASES:
            if failed:
                say(case.__name__, "skipped: a case before it failed")
                continue
            try:
                case(host)
                say(case.__name__, "pass")
            except (AssertionError, OSError, KeyError, ValueError) as problem:
                failed = problem
                say(case.__name__, "fail: " + " ".join(refusals.beside(problem).split())[:160])
                print(f"{case.__name__}: {problem}\n{host.lab.logs()}", file=sys.stderr, flush=True)
    finally:
        host.remove()
    try:
        refusals.expect_none()
        say("refuses nothing that imagod asks for", "pass")
    except AssertionError as problem:
        failed = problem
        say("refuses nothing that imagod asks for", f"fail: {problem}")
    return 1 if failed else 0


def main():
    reason = why_not()
    if reason:
        say("etc/imagod.service", f"skipped: {reason}")
        return 0
    try:
        return run_cases()
    finally:
        Lab.remove_all()


if __name__ == "__main__":
    if os.geteuid() != 0 or not shutil.which("ip") or run("ip", "xfrm", "state", is_checked=False).returncode != 0:
        sys.exit("systemd_cases: needs root and a kernel with XFRM; tests/lab/run-in-uml has one")
    sys.exit(main())
