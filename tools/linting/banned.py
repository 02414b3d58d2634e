"""Words that may not stand in the tree, each with what to write instead."""

import re


class Ban:
    def __init__(self, pattern, instead, within=("",), without=(), headers_only=False, comments=False,
                 kinds="cpp"):
        self.pattern = re.compile(pattern)
        self.instead = instead
        self.within = within
        self.without = without
        self.headers_only = headers_only
        self.comments = comments  # looks at whole lines, comments and literals too
        self.kinds = kinds  # cpp, or text: every file

    def applies_to(self, file):
        if self.kinds == "cpp" and not file.is_cpp:
            return False
        if self.headers_only and not file.is_header:
            return False
        return file.path.startswith(self.within) and not file.path.startswith(self.without)


# The linter and its tests have to name what they forbid.
OWN = ("tools/linting/", "tests/lint/")

BANS = [
    Ban(r"\.\s*await\s*\(", "an actor that waits cannot be killed; use .then or an explicit reply message"),
    Ban(r"\b(anon_)?send_exit\b", "CAF's exit waits behind the whole queue; send our own kill with high priority"),
    Ban(r"\bdelayed_(anon_)?send\b", "CAF's timers pin dead actors; arm the engine's timer wheel"),
    Ban(r"\bmemcmp\b", "compare secrets with secret's constant-time equality, other bytes with std::ranges::equal"),
    Ban(r"\busing\s+namespace\b", "name what you use; a header's choice spreads", headers_only=True),
    Ban(r"\b(std::rand|srand|drand48|random_shuffle)\b|(?<![\w:.>])rand\s*\(", "take entropy from core/base/random.hpp"),
    Ban(r"\b(random_device|mt19937(_64)?)\b", "take entropy from core/base/random.hpp, so that a seed repeats it",
        within=("core/", "kernel_if/", "actors/")),
    Ban(r"\b(f|s|v|d|vf|sn|vsn)?printf\s*\(|\bputs\s*\(|\bstd::c(out|err|log)\b",
        "core does not print; format with fmt and return the text", within=("core/",)),
    Ban(r"\b(steady|system|high_resolution)_clock::now\b|(?<![\w:.>])time\s*\(\s*(nullptr|NULL|0)\s*\)",
        "core has no clock; take the time as a parameter", within=("core/",)),
    Ban(r"\b(sleep_for|sleep_until|usleep|nanosleep)\b|(?<![\w:.>])sleep\s*\(",
        "tests wait for an event, never for time", within=("tests/",)),
    Ban(r"\b(strcpy|strcat|sprintf|gets|alloca)\s*\(", "unbounded; use std::string, fmt or a span"),
    Ban(r"\b(TODO|FIXME|XXX|HACK)\b", "do it now, or write an issue", comments=True, kinds="text", without=OWN),
    Ban(r"(?<![\w.])/(work|home|root)/[\w.]+", "a path of one machine; take it from the environment or an argument",
        comments=True, kinds="text", without=OWN),
    Ban(r"\t", "indent with spaces", comments=True, kinds="cpp"),
    Ban(r"[ \t]+$", "ends in blanks; strip them", comments=True, kinds="cpp"),
]


def check_pragma_once(file):
    if not file.is_header:
        return
    for number, line in enumerate(file.code_lines, 1):
        if line.strip():
            if re.match(r"\s*#\s*pragma\s+once\b", line):
                return
            yield file.path, number, "a header's first line of code is #pragma once"
            return
    yield file.path, 1, "a header's first line of code is #pragma once"


def check_unnamed_namespace(file):
    if file.is_header:
        for region in file.regions:
            if re.fullmatch(r"(inline\s+)?namespace", region.head):
                yield file.path, region.first, "an unnamed namespace in a header copies its contents; name it detail"


def check_banned(tree):
    for file in tree.files.values():
        for ban in BANS:
            if not ban.applies_to(file):
                continue
            for number, line in enumerate(file.lines if ban.comments else file.code_lines, 1):
                found = ban.pattern.search(line)
                if found:
                    yield file.path, number, f"'{found.group().strip() or 'blank'}': {ban.instead}"
        if file.is_cpp:
            yield from check_pragma_once(file)
            yield from check_unnamed_namespace(file)
