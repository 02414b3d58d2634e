#!/usr/bin/env python3
"""The benchmarks: imagod, and Debian's charon beside it in the same run, under the same load.

Each responder has one core, imago-load has another. Data planes cost nothing: imagod runs with
--backend fake, charon over a kernel that acknowledges everything (bench/load/null_xfrm.c). Both
log what is to be audited only. Goals are those of the table in docs/performance.md.
"""

import argparse
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from driver import handshake, idle, lab, native, overload, scale  # noqa: E402
from driver.report import WAITED_PERCENT_MAX, Report  # noqa: E402

BENCHMARKS = {
    "handshake": (handshake.measure, "rows 1 to 4: CPU per handshake against the floor"),
    "overload": (overload.measure, "rows 7, 8, 9, 11: floods"),
    "capacity": (overload.measure_capacity, "row 10: more good clients than can be served"),
    "scale": (scale.measure, "rows 5, 6, 14, 15: many SAs"),
    "idle": (idle.measure, "which SAs are in use: by events, beside asking for each"),
    "teardown": (scale.measure_teardown, "row 13: what it costs to delete them"),
    "wire": (native.measure_wire, "messages parsed and encoded, beside AES-GCM over the same octets"),
    "log": (native.measure_log, "what the journal costs at each level"),
    "hop": (native.measure_hop, "messages between actors, and making them"),
    "kill": (native.measure_kill, "row 12: KILL with the crypto pool saturated"),
}


def arguments():
    known = "\n".join(f"  {name:10} {about}" for name, (_, about) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, epilog=f"benchmarks:\n{known}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--build", default=os.path.join("build", "release"))
    parser.add_argument("--json", action="store_true", help="each row as a JSON object a line on standard output")
    parser.add_argument("--full", dest="is_full", action="store_true", help="50,000 and 100,000 SAs too")
    parser.add_argument("--short", dest="is_short", action="store_true", help="are there figures at all; for tests")
    parser.add_argument("--only", choices=("imagod", "charon"), help="without the other; rows need imagod")
    parser.add_argument("--count", type=int, help="handshakes of a figure (3000)")
    parser.add_argument("--seconds", type=float, help="of each measured time (10)")
    parser.add_argument("--sizes", type=lambda text: tuple(map(int, text.split(","))), help="numbers of SAs")
    parser.add_argument("--report", default=os.path.join("build", "bench"), help="the folder it is written to")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark '{unknown[0]}'; --help lists them")
    return chosen


def prepare(options):
    for program in (("bench", "imago-load"), ("daemon", "imagod")):
        if not os.access(os.path.join(options.build, *program), os.X_OK):
            sys.exit(f"bench: {os.path.join(options.build, *program)} is not built")
    lab.enter_user_namespace()
    options.kinds = [kind for kind in lab.rivals() if options.only in (None, kind.name)]
    options.report = Report(options.report)
    if options.is_short:
        options.count = options.count or 100
        options.sizes = options.sizes or (10, 50, 200)


def interrupted(number, _frame):
    sys.exit(128 + number)


def run_one(name, place, options):
    for found in BENCHMARKS[name][0](place, options):
        options.report.findings.append(found)
        if options.json:
            print(json.dumps(found.json()), flush=True)


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, interrupted)
    prepare(options)
    failures = 0
    with lab.Lab(options.build) as place:
        for name in options.names or BENCHMARKS:
            lab.say(f"== {name}: {BENCHMARKS[name][1]}")
            try:
                run_one(name, place, options)
            except (lab.Failure, AssertionError) as wrong:  # the others still have something to tell
                lab.say(f"{name}: {wrong}")
                failures += 1
    path = options.report.write()
    if not options.json:
        print("\n".join(options.report.table()))
        for title, lines in options.report.extra:
            print(f"\n{title}:", *lines, sep="\n")
    if options.report.waited_percent > WAITED_PERCENT_MAX:
        lab.say(options.report.warning())
    lab.say(f"the report: {os.path.relpath(path)}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    try:
        main()
    except (lab.Failure, AssertionError) as wrong:
        sys.exit(f"bench: {wrong}")
