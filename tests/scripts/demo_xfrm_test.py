#!/usr/bin/env python3
"""tools/demo --xfrm: the main job on the kernel's ESP, this host's or user-mode-linux's."""

import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from libprograms import BUILD, IMAGOCTL, IMAGOD, not_built  # noqa: E402

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "demo")
SKIPPED = 77


def check(summary):
    wire, ping = summary["wire"], summary["ping"]
    assert summary["passed"] and summary["backend"] == "xfrm" and summary["left_behind"] == [], summary
    assert ping["sent"] > 0 and ping["lost"] == 0, ping
    assert wire["esp"] >= 2 * ping["sent"] and wire["other"] == 0 and wire["plaintext"] == 0, wire
    assert min(wire["esp_spis"].values()) >= 2 and wire["ike_sas"] >= 2, wire


def main():
    if missing := not_built(IMAGOD, IMAGOCTL):
        sys.exit(missing)
    with tempfile.TemporaryDirectory(prefix="demo-xfrm-") as logs:
        ran = subprocess.run([DEMO, "--xfrm", "--build", BUILD, "--seconds", "2", "--json", "--logs", logs],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500, check=False)
        if ran.returncode == SKIPPED:
            print(ran.stderr.strip().splitlines()[-1])
            sys.exit(SKIPPED)
        assert ran.returncode == 0, ran.stderr
        check(json.loads(ran.stdout))
        assert "the kernel's ESP (Linux" in ran.stderr, ran.stderr
        with open(os.path.join(logs, "demo-west.log"), encoding="utf-8") as log:
            assert "imagod: ready" in log.read()
    print("1..1\nok 1 - a tunnel on the kernel's ESP, rekeyed under load, nothing in the clear, nothing left")


if __name__ == "__main__":
    main()
