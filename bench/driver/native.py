"""Benchmarks that are programs of their own: marshalling, journal, actors, kill."""

import json

from . import lab as parts
from .rows import Finding


def lines_of(lab, name, *options):
    """What bench_NAME tells, on the responder's core."""
    command = ["taskset", "-c", str(lab.responder_core), lab.program("bench", f"bench_{name}"), "--json", *options]
    return [json.loads(line) for line in parts.run(*command, timeout=600).stdout.splitlines()]


def table(lines):
    columns = list(lines[0])
    rows = [[f"{value:.2f}" if isinstance(value, float) and value < 10 else
             f"{value:.0f}" if isinstance(value, float) else str(value) for value in line.values()] for line in lines]
    return [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns), *(f"| {' | '.join(row)} |" for row in rows)]


def measure_wire(lab, options):
    options.report.add_table("Marshalling beside AES-128-GCM over the same octets (CPU, one core)",
                             table(lines_of(lab, "wire")))
    return []


def measure_log(lab, options):
    options.report.add_table("The journal: one fact, CPU", table(lines_of(lab, "log")))
    return []


def measure_hop(lab, options):
    count = ("--count", "2000") if options.is_short else ()
    options.report.add_table("Actors, CPU", table(lines_of(lab, "hop", *count)))
    return []


def measure_kill(lab, options):
    told = lines_of(lab, "kill", "--count", "20" if options.is_short else "300")[0]
    note = f"{told['kills']} kills, p50 {told['p50_us'] / 1000:.2f} ms, {told['jobs_waiting']} jobs waiting, one core"
    return [Finding("12", told["p99_us"] / 1000, note=note)]
