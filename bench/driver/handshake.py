"""Rows 1 to 4: what a handshake costs a responder."""

import json

from . import lab as parts
from .lab import Failure, Load, say
from .rows import Finding

SETS = {"1": ("x25519-aes128gcm16-psk", "x25519", False), "2": ("ecp256-aes128gcm16-psk", "p256", False),
        "3": ("x25519-aes128gcm16-ecdsa-p256", "x25519", True)}
WARM = 300
ROUNDS = 2  # each responder in turn; the cheapest counts, since others may use the machine too


def floor_of(lab, name):
    """Microseconds of the bare OpenSSL calls."""
    command = ["taskset", "-c", str(lab.responder_core), lab.program("bench", "bench_handshake"), "--floor", "--json",
               "--set", name]
    return json.loads(parts.run(*command, timeout=300).stdout)["floor_us"]


def cost(lab, kind, method, has_certificates, count, cores=None):
    """CPU microseconds of the responder for each of `count` handshakes, after some to warm up."""
    folder = lab.credentials(WARM + count) if has_certificates else None
    with kind(lab, credentials=folder, cores=cores) as responder:
        with Load(lab, "--ke", method, "--hold", f"{WARM},{count}", "--forget", "--window", 16,
                  credentials=folder) as load:
            load.phase("held")
            begun = responder.cpu_seconds()
            load.go_on()
            told = load.phase("held")
            used = responder.cpu_seconds() - begun
            if told["established"] != WARM + count:
                raise Failure(f"{kind.name}: {told['established']} of {WARM + count} are up: {told['hold']}")
            return used / count * 1e6, told["seconds"]


def measure(lab, options):
    count = options.count or 3000
    rounds = 1 if options.is_short else ROUNDS
    found = []
    for row, (name, method, has_certificates) in SETS.items():
        floor, used = [], {kind.name: [] for kind in options.kinds}
        for _ in range(rounds):
            floor.append(floor_of(lab, name))
            for kind in options.kinds:
                used[kind.name].append(cost(lab, kind, method, has_certificates, count)[0])
        best_floor = min(floor)
        lowest = {who: min(values) for who, values in used.items()}
        say(f"{name}: floor {best_floor:.1f} us, " + ", ".join(f"{who} {us:.1f} us" for who, us in lowest.items()))
        options.report.add_bars("handshake", "responder CPU per handshake, us", name,
                                {"floor": best_floor, **lowest})
        rival = lowest.get("charon")
        found.append(Finding(row, lowest["imagod"] / best_floor, rival and rival / best_floor,
                             f"floor {best_floor:.1f} us, " + ", ".join(f"{who} {us:.1f} us"
                                                                      for who, us in lowest.items())))
    found.append(two_cores(lab, options, count, rounds))
    return found


def two_cores(lab, options, count, rounds):
    both = f"{lab.responder_core},{lab.generator_core}"
    ratio = {}
    for kind in options.kinds:
        one, two = [], []
        for _ in range(rounds):
            one.append(cost(lab, kind, "x25519", False, count)[0])
            two.append(cost(lab, kind, "x25519", False, count, cores=both)[0])
        ratio[kind.name] = min(two) / min(one)
    has_two = lab.responder_core != lab.generator_core
    note = "the generator shares the second core" if has_two else "there is one core only"
    return Finding("4", ratio["imagod"], ratio.get("charon"), note)
