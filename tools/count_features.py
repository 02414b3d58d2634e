#!/usr/bin/env python3
"""Counts docs/features.md: every feature once, its word one of three, every path it names there.

--write puts the counts at the top of the document; without, what is wrong is said.
"""

import collections
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = os.path.join("docs", "features.md")
FEATURE_COUNT = 130
WORDS = ("yes", "partly", "no")
COUNTS = re.compile(r"(<!-- counts:[^\n]*-->\n)(.*?)(\n<!-- end of counts -->)", re.DOTALL)


def rows_of(text):
    """(group, number, word, paths) of every row."""
    group = ""
    for line in text.splitlines():
        if line.startswith("## "):
            group = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].isdigit():
            paths = [path for cell in cells[4:] for path in re.findall(r"`([^`]+)`", cell)]
            yield group, int(cells[0]), cells[3], paths


def table_of(rows):
    groups = collections.OrderedDict()
    for group, _, word, _ in rows:
        groups.setdefault(group, collections.Counter())[word] += 1
    total = sum(groups.values(), collections.Counter())
    lines = ["", "| group | yes | partly | no |", "| --- | --: | --: | --: |"]
    for group, count in [*groups.items(), ("**together**", total)]:
        lines.append(f"| {group} | " + " | ".join(str(count[word]) for word in WORDS) + " |")
    return "\n".join(lines) + "\n"


def faults_of(text, exists):
    rows = list(rows_of(text))
    numbers = [number for _, number, _, _ in rows]
    if numbers != list(range(1, FEATURE_COUNT + 1)):
        yield f"the features are not 1 to {FEATURE_COUNT} in order, each once"
    for _, number, word, paths in rows:
        if word not in WORDS:
            yield f"feature {number}: '{word}' is none of {', '.join(WORDS)}"
        if word == "yes" and not paths:
            yield f"feature {number} is there, but not said where"
        for path in paths:
            if not exists(path):
                yield f"feature {number}: {path} does not exist"
    counts = COUNTS.search(text)
    if not counts or counts.group(2) != table_of(rows):
        yield "the counts are not those of the rows; run tools/count_features.py --write"


def main():
    path = os.path.join(ROOT, DOCUMENT)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if sys.argv[1:] == ["--write"]:
        text = COUNTS.sub(lambda found: found.group(1) + table_of(rows_of(text)) + found.group(3), text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    elif sys.argv[1:]:
        sys.exit(__doc__.strip())
    faults = list(faults_of(text, lambda name: os.path.exists(os.path.join(ROOT, name))))
    for fault in faults:
        print(f"{DOCUMENT}: {fault}")
    if not faults:
        print(table_of(rows_of(text)).strip())
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
