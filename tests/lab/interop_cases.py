#!/usr/bin/env python3
"""Imago against real daemons, both on the kernel's ESP. Runs inside a kernel that has it (run-in-uml).

Prints one JSON object a line for each case: what was tried, and a cell for each feature, "pass", "fail:
why" or "skipped: why". West is Imago, east the peer. Ends with 1 if a cell failed.
"""

import argparse
import json
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.dont_write_bytecode = True
os.environ["IMAGO_BACKEND"] = "xfrm"

from liblab import SHAPES, Case  # noqa: E402
from libconfig import Authority  # noqa: E402
from libforeign import PEERS  # noqa: E402
from libpeers import Lab, run  # noqa: E402

ROLES = ("initiator", "responder")
# The long way for each role and authentication; the other shapes once for each role.
PLAN = [(role, auth, "tunnel") for role in ROLES for auth in ("psk", "ecdsa")]
PLAN += [(role, "psk", shape) for role in ROLES for shape in ("tunnel in IPv6", "transport", "NAT", "kill -9")]
PLAN += [("initiator", "psk", "IPv4 in IPv6"), ("responder", "psk", "IPv6 in IPv4")]
PLAN += [(role, "psk", "ESN") for role in ROLES] + [(role, "rsa4096", "fragments") for role in ROLES]
# What the everyday tier takes: about a minute with its guest.
CHOSEN = [("charon", "initiator", "ecdsa", "tunnel"), ("charon", "responder", "psk", "NAT")]


class Authorities:
    """Made when first asked for: keys take time."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def __call__(self, kind):
        if kind not in self.made:
            self.made[kind] = Authority(os.path.join(self.folder, kind), kind, has_intermediate=kind == "rsa4096")
        return self.made[kind]


def rows(chosen):
    """[(peer, role, authentication, shape)]"""
    if chosen.few:
        return [row for row in CHOSEN if not chosen.peers or row[0] in chosen.peers]
    return [(name, *row) for name in chosen.peers or PEERS for row in PLAN
            if not chosen.only or re.search(chosen.only, " ".join(row))]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="only a chosen few rows")
    parser.add_argument("--only", metavar="PATTERN", help="only rows like this: role authentication shape")
    parser.add_argument("peers", nargs="*", help=f"only these of: {' '.join(PEERS)}")
    return parser.parse_args()


def main():
    has_failed, about = False, {}
    with tempfile.TemporaryDirectory(prefix="imago-lab-") as folder:
        authorities = Authorities(folder)
        for name, role, auth, shape in rows(parse_arguments()):
            kind = PEERS[name]
            if name not in about:
                missing = kind.why_not()
                about[name] = missing, None if missing else kind.version()
            missing, version = about[name]
            reason = missing or kind.cannot(role, auth, shape)
            if reason:
                cells = {feature: f"skipped: {reason}" for feature in SHAPES[shape].features}
            else:
                cells = Case(kind, role, auth, shape, authorities).run()
            has_failed = has_failed or any(cell.startswith("fail") for cell in cells.values())
            print(json.dumps({"peer": name, "version": version, "kernel": os.uname().release, "role": role,
                              "auth": auth, "shape": shape, "cells": cells}), flush=True)
    Lab.remove_all()
    return 1 if has_failed else 0


if __name__ == "__main__":
    if os.geteuid() != 0 or run("ip", "xfrm", "state", is_checked=False).returncode != 0:
        sys.exit("interop_cases: needs root and a kernel with XFRM; tests/lab/run-in-uml has one")
    sys.exit(main())
