#!/usr/bin/env python3
"""Holds the tree to docs/architecture's walls, names and limits, as far as a program can.

usage: tools/lint.py [--only RULE[,RULE]] [--list] [FILE...]

Prints "file:line: rule: what is wrong; what to do instead" and ends with 1 if there was any.
A line, or the line above it, may say `lint: allow RULE because REASON`; a brace region that is data
begins with `lint: table`; a function that must be long says `lint: long because REASON` inside.
"""

import argparse
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from linting import banned, limits, links, names, walls  # noqa: E402
from linting.source import Tree  # noqa: E402

RULES = {
    "walls": walls.check_walls,
    "public-headers": walls.check_public_headers,
    "banned": banned.check_banned,
    "limits": limits.check_limits,
    "names": names.check_names,
    "links": links.check_links,
}


def listed_files(root):
    """Tracked and new files; without git (a source archive) every file outside build/."""
    command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode == 0:
        found = done.stdout.decode().split("\0")
    else:
        found = []
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in ("build", ".git", "__pycache__")]
            found += [os.path.relpath(os.path.join(folder, name), root) for name in files]
    return sorted({name for name in found if name and os.path.isfile(os.path.join(root, name))})


def lint(tree, rules=None):
    """All findings, sorted: (path, line, rule, text)."""
    findings = []
    for name in rules or RULES:
        for path, line, text in RULES[name](tree):
            file = tree.files.get(path)
            if file is None or not file.allows(line, name):
                findings.append((path, line, name, text))
    return sorted(set(findings))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="a rule, or several with commas between")
    parser.add_argument("--list", action="store_true", help="print the rules")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("files", nargs="*", help="report only on these (all are read)")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(RULES))
        return 0
    rules = options.only.split(",") if options.only else None
    for name in rules or []:
        if name not in RULES:
            parser.error(f"there is no rule '{name}'; one of: {', '.join(RULES)}")
    tree = Tree(options.root, listed_files(options.root))
    findings = lint(tree, rules)
    if options.files:
        wanted = {os.path.relpath(name, options.root) for name in options.files}
        findings = [finding for finding in findings if finding[0] in wanted]
    for path, line, name, text in findings:
        print(f"{path}:{line}: {name}: {text}")
    print(f"{len(tree.files)} files, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
