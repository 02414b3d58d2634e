#!/usr/bin/env python3
"""etc/imagod.service: what it must say, and what systemd itself says about it where systemd-analyze is installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT = os.path.join(ROOT, "etc", "imagod.service")
EXPOSURE_MAX = 2.5  # of 10, as systemd-analyze security counts it

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

from libprograms import IMAGOCTL, IMAGOD, not_built  # noqa: E402


def settings():
    """{key of [Service]: its values, in their order}"""
    found, section = {}, ""
    with open(UNIT, encoding="utf-8") as file:
        for line in file:
            line = line.strip()
            if line.startswith("["):
                section = line
            elif line and not line.startswith("#"):
                key, value = line.split("=", 1)
                if section == "[Service]":
                    found.setdefault(key, []).append(value)
    return found


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=60)


class Text(unittest.TestCase):
    def test_the_daemon_tells_when_it_is_ready(self):
        self.assertEqual(settings()["Type"], ["notify"])

    def test_no_capability_but_the_two_that_imagod_keeps(self):
        kept = set(settings()["CapabilityBoundingSet"][0].split())
        self.assertEqual(kept, {"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"})

    def test_it_leaves_imagod_what_it_needs(self):
        service = settings()
        self.assertEqual(set(service["RestrictAddressFamilies"][0].split()),
                         {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"})
        self.assertIn("seccomp", service["SystemCallFilter"][0].split())
        self.assertEqual(service["DeviceAllow"], ["/dev/net/tun rw"])
        for key in ("PrivateDevices", "PrivateNetwork", "PrivateUsers", "ProcSubset"):
            self.assertNotIn(key, service)

    def test_of_the_kernels_settings_only_those_are_writable_that_imagod_sets(self):
        core = "/proc/sys/net/core"
        self.assertEqual(settings()["ReadWritePaths"], [f"-{core}/xfrm_acq_expires -{core}/xfrm_larval_drop"])

    def test_what_else_it_forbids(self):
        service = settings()
        self.assertEqual(service["ProtectSystem"], ["strict"])
        for key in ("NoNewPrivileges", "MemoryDenyWriteExecute", "RestrictNamespaces", "ProtectKernelModules",
                    "ProtectKernelTunables", "RestrictSUIDSGID", "LockPersonality"):
            self.assertEqual(service[key], ["yes"], key)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Systemd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="imago-service-")
        self.addCleanup(shutil.rmtree, folder)
        with open(UNIT, encoding="utf-8") as file:
            text = file.read()
        # The pages and the program are installed elsewhere, or not at all.
        text = re.sub("(?m)^Documentation=.*\n", "", text).replace("ExecStart=imagod", f"ExecStart={IMAGOD}")
        text = text.replace("ExecReload=imagoctl", f"ExecReload={IMAGOCTL}")
        self.unit = os.path.join(folder, "imagod.service")
        with open(self.unit, "w", encoding="utf-8") as file:
            file.write(text)

    def test_it_is_a_unit_without_a_complaint(self):
        if reason := not_built(IMAGOD, IMAGOCTL):
            self.skipTest(reason)
        done = analyze("verify", self.unit)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_its_exposure_is_small(self):
        done = analyze("security", "--offline=true", "--no-pager", self.unit)
        if "unrecognized option" in done.stderr:
            self.skipTest("this systemd-analyze does not judge files")
        found = re.search(r"exposure level for imagod.service: (\d+\.\d+)", done.stdout)
        self.assertIsNotNone(found, done.stdout + done.stderr)
        self.assertLessEqual(float(found.group(1)), EXPOSURE_MAX, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
