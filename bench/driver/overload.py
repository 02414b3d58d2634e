"""Rows 7 to 11: floods, and more clients than can be served."""

from .handshake import WARM, cost
from .lab import Failure, Load, say
from .rows import Finding

GOOD = 200  # handshakes a second of clients that behave
SPOOFED, RETURNING = 80_000, 20_000
HELD = 400  # SAs that were up before
CAPACITY_STEPS = (0.5, 1, 2, 5, 10)


def run_load(lab, kind, *options, held=0, credentials=None):
    """One measured phase at a fresh responder: what the generator tells, and the responder's side."""
    hold = ("--hold", held) if held else ()
    with kind(lab, credentials=credentials) as responder, \
            Load(lab, *hold, *options, credentials=credentials) as load:
        if held:
            load.phase("held")
            load.go_on()
        begun, waited, rss = responder.cpu_seconds(), load.waited_seconds(), responder.rss_kb()
        told = load.phase("measured")
        told["waited_percent"] = (load.waited_seconds() - waited) / told["seconds"] * 100
        if not responder.is_running():
            raise Failure(f"{kind.name} ended under load: {responder.program.said[-500:]}")
        told["cpu_cores"] = (responder.cpu_seconds() - begun) / told["seconds"]
        told["rss_kb_before"], told["rss_kb_after"] = rss, responder.rss_kb()
        return told


def share_of(told):
    good = told["handshake"]
    return good["completed"] / good["offered"] * 100


def describe(name, told):
    good = told["handshake"]
    return (f"{name}: {good['completed']} of {good['offered']}, p50 {good['p50_us'] / 1000:.1f} ms, "
            f"p99 {good['p99_us'] / 1000:.1f} ms, {told['rss_kb_after'] // 1024} MB, "
            f"{told['cpu_cores']:.2f} cores, generator waited {told['waited_percent']:.0f} %")


def floods(seconds):
    good = ("--handshakes", GOOD, "--seconds", seconds, "--patience", 5)
    return {"no flood": good,
            "spoofed": (*good, "--spoofed-flood", SPOOFED),
            "malformed": (*good, "--malformed-flood", RETURNING),
            "cookies returned": (*good, "--cookie-flood", RETURNING, "--dpd", 100, "--rekey", 50)}


def measure(lab, options):
    seconds = 1 if options.is_short else options.seconds or 10
    told = {}
    for flood, arguments in floods(seconds).items():
        held = HELD if flood == "cookies returned" else 0
        for kind in options.kinds:
            told[flood, kind.name] = one = run_load(lab, kind, *arguments, held=held)
            options.report.waited_percent = max(options.report.waited_percent, one["waited_percent"])
            say(f"{flood}: {describe(kind.name, told[flood, kind.name])}")
    for kind in options.kinds:
        for figure, title in (("p50_us", "p50"), ("p99_us", "p99")):
            options.report.add_bars(f"overload-{title}", f"{title} of good handshakes, ms", kind.name, {
                flood: told[flood, kind.name]["handshake"][figure] / 1000 for flood in floods(seconds)})
    return [*findings(told, options), half_open(lab, options)]


def findings(told, options):
    def both(value):
        return tuple(value(kind.name) for kind in options.kinds)

    def p99(flood, name):
        return told[flood, name]["handshake"]["p99_us"]

    def slowest_of_established(name):
        return max(told["cookies returned", name][what]["p99_us"] for what in ("dpd", "rekey")) / 1000

    notes = {flood: "; ".join(describe(kind.name, told[flood, kind.name]) for kind in options.kinds)
             for flood in ("spoofed", "cookies returned")}
    return [
        Finding("8", *both(lambda name: p99("spoofed", name) / p99("no flood", name)), note=notes["spoofed"],
                is_met=share_of(told["spoofed", "imagod"]) == 100),
        Finding("9", *both(lambda name: share_of(told["cookies returned", name])), note=notes["cookies returned"],
                is_met=p99("cookies returned", "imagod") <= 50_000),
        Finding("11", *both(slowest_of_established), note="; ".join(
            f"{kind.name}: " + ", ".join(
                f"{what} p99 {told['cookies returned', kind.name][what]['p99_us'] / 1000:.1f} ms, "
                f"{told['cookies returned', kind.name][what]['unanswered']} unanswered"
                for what in ("dpd", "rekey")) for kind in options.kinds)),
    ]


def half_open(lab, options):
    """What a half-open IKE SA keeps: a slow flood that returns cookies, for less than they live."""
    rate, seconds = (1000, 1) if options.is_short else (4000, 4)
    sizes = {}
    for kind in options.kinds:
        told = run_load(lab, kind, "--cookie-flood", rate, "--seconds", seconds, "--patience", 0, held=WARM)
        admitted = told["cookie_flood"]["admitted"]
        sizes[kind.name] = (told["rss_kb_after"] - told["rss_kb_before"]) / max(admitted, 1)
        say(f"half-open: {kind.name}: {admitted} admitted, {sizes[kind.name]:.2f} KB each")
    return Finding("7", sizes["imagod"], sizes.get("charon"), f"{rate}/s for {seconds} s")


# -- row 10: more than can be served, from clients that behave


def measure_capacity(lab, options):
    seconds = 1 if options.is_short else options.seconds or 5
    return [climb(lab, options, seconds, "10", False), climb(lab, options, seconds, "10 certificates", True)]


def climb(lab, options, seconds, row, has_certificates):
    ratios, notes = {}, []
    for kind in options.kinds:
        used, _ = cost(lab, kind, "x25519", has_certificates, 1000)
        capacity = 1e6 / used
        points = []
        for step in CAPACITY_STEPS[:2] if options.is_short else CAPACITY_STEPS:
            offered = capacity * step
            folder = lab.credentials(int(offered * seconds) + 100) if has_certificates else None
            told = run_load(lab, kind, "--handshakes", round(offered), "--seconds", seconds, "--patience", 1,
                            credentials=folder)
            options.report.waited_percent = max(options.report.waited_percent, told["waited_percent"])
            goodput = told["handshake"]["in_time"] / seconds
            points.append((step, goodput))
            say(f"{kind.name}: {step}x of {capacity:.0f}/s: {goodput:.0f}/s good, generator "
                f"{told['own_cpu_seconds'] / told['seconds']:.2f} cores, "
                f"{describe(kind.name, told)}")
        options.report.add_line(f"capacity{'-certificates' if has_certificates else ''}", "offered / capacity",
                                "good handshakes / s", kind.name, points)
        ratios[kind.name] = points[-1][1] / max(goodput for _, goodput in points)
        notes.append(f"{kind.name}: " + ", ".join(f"{step}x {goodput:.0f}/s" for step, goodput in points))
    return Finding(row, ratios["imagod"], ratios.get("charon"), "; ".join(notes))
