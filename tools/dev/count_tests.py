#!/usr/bin/env python3
"""Prints "passed failed skipped" for one report of a test run.

usage: count_tests.py FILE junit|script EXIT_CODE

Test programs that count their own cases (doctest, unittest, TAP) are taken at their word;
everything else counts as one. A failure that no count shows (a crash, a leak, a time-out) is one.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

DOCTEST = re.compile(
    r"\[doctest\] test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed(?: \|\s*(\d+) skipped)?")
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_OUTCOME = re.compile(r"^(?:OK|FAILED)(?: \((.*)\))?$", re.M)
PYTEST = re.compile(r"^(?:=+ )?((?:\d+ \w+, )*\d+ (?:passed|failed|skipped|errors?)\b.*) in [\d.:hms ()]+", re.M)
TAP = re.compile(r"^(not ok|ok)\b(.*)$", re.M)


def count_doctest(text):
    runs = DOCTEST.findall(text)
    if not runs:
        return None
    return [sum(int(run[field] or 0) for run in runs) for field in (1, 2, 3)]


def count_unittest(text):
    ran = UNITTEST.findall(text)
    if not ran:
        return None
    numbers = {"failures": 0, "errors": 0, "skipped": 0}
    for details in UNITTEST_OUTCOME.findall(text):
        for name, number in re.findall(r"(\w+)=(\d+)", details):
            numbers[name] = numbers.get(name, 0) + int(number)
    failed = numbers["failures"] + numbers["errors"]
    return [sum(map(int, ran)) - failed - numbers["skipped"], failed, numbers["skipped"]]


def count_pytest(text):
    ends = PYTEST.findall(text)
    if not ends:
        return None
    numbers = {"passed": 0, "failed": 0, "error": 0, "skipped": 0}
    for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", ends[-1]):
        numbers[word] += int(number)
    return [numbers["passed"], numbers["failed"] + numbers["error"], numbers["skipped"]]


def count_tap(text):
    lines = TAP.findall(text)
    if not lines:
        return None
    skipped = sum("# SKIP" in rest for _, rest in lines)
    failed = sum(word == "not ok" and "# SKIP" not in rest for word, rest in lines)
    return [len(lines) - failed - skipped, failed, skipped]


def count_text(text, exit_code, skip_code=77):
    """What one program printed and how it ended, as [passed, failed, skipped]."""
    if exit_code == skip_code:
        return [0, 0, 1]
    for counter in (count_doctest, count_unittest, count_pytest, count_tap):
        counts = counter(text)
        if counts:
            break
    else:
        return [1, 0, 0] if exit_code == 0 else [0, 1, 0]
    if exit_code != 0 and counts[1] == 0:
        counts[1] = 1
    return counts


def count_junit(path, exit_code):
    total = [0, 0, 0]
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        why = case.find("skipped")
        # ctest also says "skipped" of a test whose program was not built; that is a failure.
        chosen = why is not None and why.get("message", "").startswith("SKIP_")
        if chosen or case.get("status") == "disabled":
            counts = [0, 0, 1]
        else:
            failed = case.get("status") != "run"
            counts = count_text(case.findtext("system-out") or "", int(failed))
        total = [sum(pair) for pair in zip(total, counts)]
    if exit_code != 0 and total[1] == 0:
        total[1] = 1
    return total


def main():
    path, kind, exit_code = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        if kind == "junit":
            counts = count_junit(path, exit_code)
        else:
            with open(path, encoding="utf-8", errors="replace") as file:
                counts = count_text(file.read(), exit_code)
    except (OSError, ElementTree.ParseError) as problem:
        print(f"count_tests.py: {problem}", file=sys.stderr)
        counts = [0, 1, 0]
    print(*counts)


if __name__ == "__main__":
    main()
