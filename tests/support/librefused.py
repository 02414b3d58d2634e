"""What imagod's seccomp filter refused, as the kernel's audit says it (type SECCOMP) to who listens to its multicast group."""

import os
import re
import select
import socket
import time

from libprograms import IMAGOD

NETLINK_AUDIT = 9
AUDIT_NLGRP_READLOG = 1
AUDIT_SECCOMP = 1326
RECEIVE_OCTETS = 4 << 20
SO_RCVBUFFORCE = 33
ARCHITECTURE = "c000003e"  # AUDIT_ARCH_X86_64, whose numbers these are
CLONE3 = 435  # refused on purpose, so that the C library takes clone (daemon/sandbox.cpp)
LATE_SECONDS = 0.2  # records come from a thread of the kernel's own
PATIENCE_SECONDS = 20


def name_of(number):
    """From the header that has them, where that is installed."""
    for path in ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"):
        if os.access(path, os.R_OK):
            with open(path, encoding="ascii") as file:
                found = re.search(rf"#define __NR_(\w+) {number}\n", file.read())
            if found:
                return found.group(1)
    return str(number)


class Refusals:
    """From when it is made. Of this build's imagod, or with `anywhere` also of a copy of it.

    OSError: this host does not let us listen. In a container nothing may come all the same.
    """

    def __init__(self, anywhere=False):
        self.anywhere = anywhere
        self.has_seen_any = False
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_OCTETS)
            self.socket.bind((0, AUDIT_NLGRP_READLOG))
        except OSError:
            self.socket.close()
            raise

    def close(self):
        self.socket.close()

    def is_ours(self, exe):
        if self.anywhere:
            return os.path.basename(exe) == os.path.basename(IMAGOD)
        return exe == os.path.realpath(IMAGOD)

    def read(self):
        """[names of system calls] by now, in their order; clone3 left out, since its refusal is wanted."""
        calls = []
        while select.select([self.socket], [], [], LATE_SECONDS)[0]:
            datagram = self.socket.recv(1 << 16)  # ENOBUFS where some were lost: an error of the test
            if int.from_bytes(datagram[4:6], "little") != AUDIT_SECCOMP:
                continue
            fields = dict(re.findall(r'(\w+)="?([^" ]+)', datagram[16:].decode(errors="replace")))
            if not self.is_ours(fields["exe"]):
                continue
            self.has_seen_any = True
            if (fields["arch"], int(fields["syscall"])) != (ARCHITECTURE, CLONE3):
                calls.append(name_of(int(fields["syscall"])))
        return calls

    def beside(self, problem):
        """What failed, with what was refused until then, which may be why."""
        calls = self.read()
        return f"{problem}; the sandbox had refused {', '.join(sorted(set(calls)))}" if calls else str(problem)

    def expect_none(self, must_see=True):
        """With must_see it fails, too, where nothing at all was seen: clone3 always is, so then nobody looked."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        calls = self.read()
        while must_see and not self.has_seen_any and time.monotonic() < deadline:
            calls += self.read()
        if calls:
            raise AssertionError(f"the sandbox refused imagod {', '.join(sorted(set(calls)))}")
        if must_see and not self.has_seen_any:
            raise AssertionError("no refusal was seen at all, not even the one that is wanted")


class NoRefusals:
    """Where they cannot be seen."""

    def close(self):
        pass

    def expect_none(self, must_see=False):
        pass


def refusals_here():
    """On a host that may not tell; without a word where it does not."""
    try:
        return Refusals()
    except OSError:
        return NoRefusals()
