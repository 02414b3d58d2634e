#!/usr/bin/env python3
"""Runs the handshake benchmark in its short form and checks that its figures can be true."""

import json
import subprocess
import sys

COUNT = 20
KEYS = ["algorithms", "responder_cpu_us", "initiator_cpu_us", "floor_us", "ratio", "messages",
        "rss_kb_per_sa", "handshakes"]
SETS = {"x25519-aes128gcm16-psk", "ecp256-aes128gcm16-psk", "x25519-aes128gcm16-ecdsa-p256",
        "x25519-aes128gcm16-rsa-2048"}


def check(line):
    assert list(line) == KEYS, f"keys {list(line)}"
    assert line["handshakes"] == COUNT, line
    for key in ("responder_cpu_us", "initiator_cpu_us", "floor_us", "ratio"):
        assert line[key] > 0, f"{key} of {line}"
    # The memory of twenty SAs may hide in pages that were there before.
    assert line["rss_kb_per_sa"] >= 0, line
    # Two exchanges are four messages at least; certificates may be fragmented.
    assert 4 <= line["messages"] < 40, line
    assert abs(line["ratio"] - line["responder_cpu_us"] / line["floor_us"]) < 0.02 * line["ratio"] + 0.01, line


def main():
    ran = subprocess.run([sys.argv[1], "--count", str(COUNT), "--json"], stdout=subprocess.PIPE, text=True,
                         check=True, timeout=300)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {line["algorithms"] for line in lines} == SETS, ran.stdout
    assert len(lines) == len(SETS), ran.stdout
    for line in lines:
        check(line)
    print(ran.stdout, end="")


if __name__ == "__main__":
    main()
