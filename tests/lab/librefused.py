"""What a seccomp filter refused, as the kernel's audit log says it: type SECCOMP, here in the kernel's own log.

Only where no auditd takes these, and the log is not shared with others: in a kernel of our own (run-in-uml).
"""

import os
import re
import subprocess

from libprograms import IMAGOD

CLONE3 = 435  # refused on purpose, so that the C library takes clone (daemon/sandbox.cpp)
ARCHITECTURE = "c000003e"  # AUDIT_ARCH_X86_64, whose number that is


def log_of_kernel():
    return subprocess.run(["dmesg"], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


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
    """Those of imagod, wherever it is installed, since this was made or read() was called."""

    def __init__(self):
        self.has_seen_any = False
        self.known = set(self.lines())

    @staticmethod
    def lines():
        lines = log_of_kernel().splitlines()
        if any("audit: audit_lost" in line or "kauditd_printk_skb" in line for line in lines):
            raise AssertionError("the kernel did not log all that was refused")
        return [line for line in lines if "audit: type=1326" in line]

    def read(self):
        """[names of system calls], in their order; clone3 left out, since its refusal is wanted."""
        calls = []
        for line in self.lines():
            if line in self.known:
                continue
            self.known.add(line)
            exe, arch, number = (re.search(rf'{key}="?([^" ]+)', line).group(1) for key in ("exe", "arch", "syscall"))
            if os.path.basename(exe) != os.path.basename(IMAGOD):
                continue
            self.has_seen_any = True
            if (arch, int(number)) != (ARCHITECTURE, CLONE3):
                calls.append(name_of(int(number)))
        return calls

    def beside(self, problem):
        """What failed, with what was refused until then, which may be why."""
        calls = self.read()
        return f"{problem}; the sandbox had refused {', '.join(sorted(set(calls)))}" if calls else str(problem)

    def expect_none(self):
        """Fails, too, where nothing at all was seen: clone3 always is, so then nobody looked."""
        calls = self.read()
        if calls:
            raise AssertionError(f"the sandbox refused imagod {', '.join(sorted(set(calls)))}")
        if not self.has_seen_any:
            raise AssertionError("the kernel's log shows no refusal at all, not even the one that is wanted")
