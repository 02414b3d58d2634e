"""Rows 5, 6, 13, 14 and 15: what many SAs cost, to set up, to keep, to list and to take down."""

import time

from .handshake import WARM
from .lab import Load, quiet_seconds, say
from .rows import Finding

SIZES = (100, 1000, 10_000)
FULL_SIZES = (100, 1000, 10_000, 50_000, 100_000)
BLOCK = 1000  # handshakes over which the cost at a size is taken
IDLE_SECONDS = 10


def steps_of(sizes, block):
    """What to set up in which steps, so that a block is measured at each size: [(count, size or None)]."""
    steps, up = [], 0
    for size in sizes:
        if size > up:
            steps.append((size - up, None))
            up = size
        steps.append((block, size))
        up += block
    return steps


def climb(lab, kind, options):
    """One responder from 0 to the largest size. What it cost at each."""
    sizes = options.sizes or (FULL_SIZES if options.is_full else SIZES)
    block = min(BLOCK, options.count or BLOCK)
    steps = steps_of(sizes, block)
    marks = {}
    with kind(lab) as responder, \
            Load(lab, "--hold", ",".join(str(count) for count, _ in steps), "--forget", "--window", 16) as load:
        before = responder.cpu_seconds()
        for _, size in steps:
            told = load.phase("held")
            now = responder.cpu_seconds()
            if size is not None:
                marks[size] = {"cpu_us": (now - before) / block * 1e6, "rss_kb": responder.rss_kb(),
                               "up": told["established"]}
                marks[size].update(ask(responder, options))
                say(f"{kind.name}: {told['established']} SAs: {marks[size]}")
            before = responder.cpu_seconds()
            load.go_on()
    return marks


def ask(responder, options):
    """Listing all, looking one up, being left alone."""
    with responder.client() as client:
        begun = responder.cpu_seconds(), time.monotonic()
        listed, an_id = 0, None
        for event in client.stream("list-sas", "list-sa"):
            for sa in event.values():
                listed += 1
                an_id = sa["uniqueid"]
        cpu, wall = responder.cpu_seconds() - begun[0], time.monotonic() - begun[1]
        lookups = 20
        begun = responder.cpu_seconds()
        for _ in range(lookups):
            list(client.stream("list-sas", "list-sa", {"ike-id": an_id}))
        lookup = (responder.cpu_seconds() - begun) / lookups
    seconds = 0.5 if options.is_short else IDLE_SECONDS
    idle = quiet_seconds(responder, seconds) / seconds
    return {"listed": listed, "list_cpu_us": cpu / max(listed, 1) * 1e6, "list_seconds": wall,
            "lookup_us": lookup * 1e6, "idle_percent": idle * 100}


def measure(lab, options):
    all_marks = {kind.name: climb(lab, kind, options) for kind in options.kinds}
    for name, marks in all_marks.items():
        options.report.add_line("scale-cpu", "SAs", "CPU per handshake, us", name,
                                [(size, mark["cpu_us"]) for size, mark in marks.items()])
        options.report.add_line("scale-rss", "SAs", "RSS, MB", name,
                                [(size, mark["rss_kb"] / 1024) for size, mark in marks.items()])
    return findings(all_marks)


def findings(all_marks):
    sizes = list(next(iter(all_marks.values())))
    first, last = sizes[0], sizes[-1]
    low = sizes[1] if len(sizes) > 2 else first
    at_idle = 10_000 if 10_000 in sizes else last

    def both(value):
        return value(all_marks["imagod"]), value(all_marks["charon"]) if "charon" in all_marks else None

    def dearer(marks):
        # A daemon that has just begun is not yet warm: the cheapest of the small sizes is the measure.
        return marks[last]["cpu_us"] / min(mark["cpu_us"] for size, mark in marks.items() if size <= max(first, 1000))

    def growth(marks):
        return (marks[last]["rss_kb"] - marks[low]["rss_kb"]) / (marks[last]["up"] - marks[low]["up"])

    return [
        Finding("5", *both(dearer),
                note=f"at {last:,} / at {first} to 1,000; charon with its table tuned (65,536 buckets)"),
        Finding("6", *both(growth), note=f"growth from {low:,} to {last:,} SAs"),
        Finding("14", *both(lambda marks: marks[last]["list_cpu_us"]), note=f"at {last:,} SAs"),
        Finding("14 look-up", *both(lambda marks: marks[last]["lookup_us"] / marks[low]["lookup_us"]),
                note="us: " + ", ".join(f"{name} {marks[low]['lookup_us']:.0f} -> {marks[last]['lookup_us']:.0f}"
                                        for name, marks in all_marks.items())),
        Finding("15", *both(lambda marks: marks[at_idle]["idle_percent"]), note=f"with {at_idle:,} SAs",
                is_met=at_idle == 10_000),
    ]


# -- teardown: the peers delete


def teardown_cost(lab, kind, count):
    with kind(lab) as responder, \
            Load(lab, "--hold", f"{WARM},{count}", "--window", 16, "--teardown") as load:
        load.phase("held")
        begun = responder.cpu_seconds()
        load.go_on()
        load.phase("held")
        set_up = responder.cpu_seconds() - begun
        begun = responder.cpu_seconds()
        load.go_on()
        told = load.phase("torn_down")
        taken_down = responder.cpu_seconds() - begun
        say(f"{kind.name}: set-up {set_up / count * 1e6:.1f} us, "
            f"teardown {taken_down / (count + WARM) * 1e6:.1f} us an SA")
        is_complete = told["teardown"]["completed"] == count + WARM
        return taken_down / (count + WARM) / (set_up / count), is_complete


def measure_teardown(lab, options):
    count = options.count or 3000
    ratios = {kind.name: teardown_cost(lab, kind, count) for kind in options.kinds}
    rival = ratios.get("charon")
    return [Finding("13", ratios["imagod"][0], rival and rival[0], "each SA deleted by its peer",
                    is_met=ratios["imagod"][1])]
