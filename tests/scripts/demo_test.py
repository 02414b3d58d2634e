#!/usr/bin/env python3
"""tools/demo tells the truth and leaves nothing behind: shown with two programs that only pretend.

The pretending imagod routes the packets over the bare wire, so that the pings are answered and
everything else is wrong.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PRETENDING_IMAGOD = """#!/bin/bash
if ip address show dev lo | grep -q 10.1.0.1; then ip route add 10.2.0.0/24 via 192.0.2.2
else ip route add 10.1.0.0/24 via 192.0.2.1; fi
echo 'imagod: ready' >&2
exec python3 -c 'import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()'
"""
SILENT_IMAGOD = "#!/bin/bash\necho 'imagod: no such thing' >&2\nexit 3\n"
PRETENDING_IMAGOCTL = "#!/bin/bash\necho '{}'\n"


def host_refuses():
    if os.geteuid() == 0:
        command = ["unshare", "--net", "--mount", "true"]
    else:
        command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return "network namespaces are not allowed here"
    return None if os.path.exists("/dev/net/tun") else "there is no /dev/net/tun"


def traces(pid):
    """What the demo with this process id left behind."""
    mark = f"imago-demo-{pid}-"
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    return sorted([line.split()[0] for line in namespaces.splitlines() if line.startswith(mark)] +
                  [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(mark)])


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="demo-test-")
        self.addCleanup(self.folder.cleanup)

    def program(self, path, text):
        path = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def start(self, imagod, *options):
        self.program("daemon/imagod", imagod)
        self.program("tools/imagoctl", PRETENDING_IMAGOCTL)
        command = [os.path.join(ROOT, "tools", "demo"), "--build", self.folder.name,
                   "--logs", os.path.join(self.folder.name, "logs"), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run_demo(self, imagod, *options):
        child = self.start(imagod, *options)
        out, said = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 1, said)
        self.assertEqual(traces(child.pid), [])
        return out, said

    def test_a_tunnel_that_is_none_is_found_out(self):
        out, said = self.run_demo(PRETENDING_IMAGOD, "--seconds", "1", "--json")
        summary = json.loads(out)
        self.assertEqual(summary["ping"]["lost"], 0, said)
        self.assertFalse(summary["passed"])
        self.assertGreater(summary["wire"]["plaintext"], 0)
        faults = " ".join(summary["faults"])
        for word in ("in the clear", "other packets", "Child SA's rekey", "IKE SA's rekey"):
            self.assertIn(word, faults)
        self.assertEqual(summary["left_behind"], [])

    def test_a_daemon_that_does_not_start_is_named(self):
        _, said = self.run_demo(SILENT_IMAGOD)
        self.assertIn("imagod west did not start: imagod: no such thing", said)
        self.assertIn("demo-west.log", said)

    def test_an_interrupt_leaves_nothing_behind(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            child = self.start(PRETENDING_IMAGOD, "--seconds", "60")
            # The flood's own line ends only with the flood; the step before it is over by now.
            while "one ping" not in (seen := child.stderr.readline()):
                self.assertNotEqual(seen, "", "the demo ended before its flood")
            child.send_signal(number)
            _, said = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 1)
            self.assertIn(f"interrupted by {number.name}", said)
            self.assertEqual(traces(child.pid), [])


if __name__ == "__main__":
    refusal = host_refuses()
    if refusal:
        print(refusal)
        sys.exit(77)
    unittest.main()
