"""Which SAs are in use: by events (NEWAE), beside what one GETSA for each SA and period costs.

In a kernel that has ESP (this host's, else user-mode-linux) for the small sizes: real SAs, real
packets, no engine. For all sizes the whole engine, over the fake data plane, which says what the
kernel would say; beside it GETSA on this host's kernel.
"""

import json
import os
import subprocess

from . import lab as parts
from .lab import Imagod, Load, say
from .rows import Finding

KERNEL_SIZES = (100, 1000)
SIZES = (100, 1000, 10_000, 50_000)
PERIOD_SECONDS = 5
IDLE_SECONDS = 5
RUN = os.path.join(parts.ROOT, "tests", "lab", "run-in-uml")


class Engine(Imagod):
    """bench_idle in imagod's place; it can be asked."""

    name = "engine"

    def text(self, credentials):
        # Long, so that no probe comes into the measured time.
        return super().text(credentials).replace("unique = never", "unique = never\n    dpd_delay = 1h")

    def start(self):
        command = [self.lab.program("bench", "bench_idle"), "--engine", self.configuration,
                   "--address", parts.RESPONDER]
        self.process = subprocess.Popen(self.lab.inside("responder", self.cores, *command), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, preexec_fn=parts.die_with_parent)
        self.program = Held(self.process)
        if self.process.stdout.readline().strip() != "ready":
            raise parts.Failure("bench_idle did not start, see above")

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise parts.Failure("bench_idle ended, see above")
        return json.loads(line)


class Held:
    """What a Responder expects of its program."""

    def __init__(self, process):
        self.process = process

    def is_running(self):
        return self.process.poll() is None

    def end(self):
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def ask_kernel(lab, sizes, is_short):
    """By size what this host's kernel says, and what one with ESP says; ({}, {}, why not)."""
    times = ("--period", "0.5", "--idle", "0.5") if is_short else ("--period", PERIOD_SECONDS, "--idle", IDLE_SECONDS)
    program = lab.program("bench", "bench_idle")

    def run(prefix, wanted):
        command = [*prefix, program, "--sizes", ",".join(map(str, wanted)), *map(str, times)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise parts.Failure(f"bench_idle on a kernel ended with {done.returncode}, see above")
        return {line["sas"]: line for line in map(json.loads, done.stdout.splitlines())}

    host = run(["taskset", "-c", str(lab.responder_core)], sizes)
    if all(line["has_esp"] for line in host.values()):
        return host, host, None
    if is_short:
        return host, {}, "the short form starts no kernel"
    check = subprocess.run([RUN, "--check"], capture_output=True, text=True, check=False)
    if check.returncode != 0:
        return host, {}, (check.stderr.strip().splitlines() or ["run-in-uml cannot be here"])[-1]
    wanted = [size for size in sizes if size <= KERNEL_SIZES[-1]]
    return host, run([RUN, "--seconds", "300", "--"], wanted) if wanted else {}, None


def measure_engine(lab, sizes, is_short):
    """By size what the engine says when nothing happens, and when every SA is in use."""
    told, up = {}, 0
    steps = [size - before for before, size in zip((0, *sizes), sizes)]
    seconds = 0.5 if is_short else 2 * PERIOD_SECONDS
    period = 0.5 if is_short else PERIOD_SECONDS
    with Engine(lab) as engine, \
            Load(lab, "--hold", ",".join(map(str, steps)), "--forget", "--window", 16) as load:
        for size, step in zip(sizes, steps):
            up = load.phase("held")["established"]
            if up != step and up != size:
                raise parts.Failure(f"{up} SAs are up, not {size}")
            told[size] = {"idle": engine.ask("idle", seconds), "active": engine.ask("active", seconds, period)}
            say(f"{size} SAs: {told[size]}")
            load.go_on()
    return told


def per_second(count, seconds):
    return f"{count / seconds:,.0f}"


def percent(busy, seconds):
    return f"{100 * busy / seconds:.3g} %"


def kernel_line(line, where):
    idle, active, each, period = line["idle"], line["active"], line["each"], line["period_seconds"]
    return (f"| {line['sas']:,} | {where} | {per_second(idle['messages'], idle['seconds'])} | "
            f"{percent(idle['busy_seconds'], idle['seconds'])} | {per_second(active['messages'], active['seconds'])} | "
            f"{percent(active['busy_seconds'], active['seconds'])} | {per_second(each['messages'], period)} | "
            f"{percent(each['busy_seconds'], period)} | {line['dump']['busy_seconds'] * 1000:.3g} ms |")


def engine_line(size, told, host, period):
    idle, active, each = told["idle"], told["active"], host["each"]
    return (f"| {size:,} | engine | {per_second(idle['events'] + idle['requests'], idle['seconds'])} | "
            f"{percent(idle['cpu_seconds'], idle['seconds'])} | "
            f"{per_second(active['events'] + active['requests'], active['seconds'])} | "
            f"{percent(active['cpu_seconds'], active['seconds'])} | {per_second(each['messages'], period)} | "
            f"{percent(each['busy_seconds'], period)} | {host['dump']['busy_seconds'] * 1000:.3g} ms |")


def findings(kernel, engine):
    """Of all sizes together what must not be; of the largest what it costs."""
    silent = sum(line["idle"]["messages"] for line in kernel.values())
    silent += sum(told["idle"]["events"] + told["idle"]["requests"] for told in engine.values())
    size, told = list(engine.items())[-1]
    found = [Finding("idle", silent, note=f"all sizes up to {size:,} together"),
             Finding("event CPU", told["active"]["cpu_seconds"] / max(told["active"]["events"], 1) * 1e6,
                     note=f"{size:,} SAs; what it costs idle included")]
    for size, line in list(kernel.items())[-1:]:
        active, each = line["active"], line["each"]
        periods = active["seconds"] / line["period_seconds"]
        found += [Finding("active", active["messages"] / size / periods, note=f"{size:,} SAs of a kernel"),
                  Finding("events / GETSA", active["busy_seconds"] / periods / each["busy_seconds"],
                          note=f"{size:,} SAs of a kernel; back-end and netlink only")]
    return found


def measure(lab, options):
    sizes = options.sizes or SIZES
    host, kernel, why_not = ask_kernel(lab, sizes, options.is_short)
    engine = measure_engine(lab, sizes, options.is_short)
    period = next(iter(host.values()))["period_seconds"]
    lines = ["| SAs | measured | idle: messages/s | CPU | active: messages/s | CPU | one GETSA each: messages/s | CPU "
             "| one dump |", "| --: | --- | --: | --: | --: | --: | --: | --: | --: |"]
    lines += [kernel_line(line, "kernel") for line in kernel.values()]
    lines += [engine_line(size, told, host[size], period) for size, told in engine.items()]
    if why_not:
        lines += ["", f"Not on a kernel with ESP: {why_not}."]
    lines += ["", f"A period of {period:g} s. Percent of one core. kernel: SAs that get packets, back-end and netlink, no "
              "engine. engine: the whole of it, told by the fake data plane; GETSA and dump: this host's kernel alone, "
              "without what an engine would do with the answers."]
    options.report.add_table("Which SAs are in use", lines)
    return findings(kernel, engine)
