#!/usr/bin/env python3
"""clang-tidy over the files named on stdin, several at once; ends with 1 if one has a finding.

usage: tidy.py BUILD_FOLDER JOBS

Only what the build knows is looked at. A file that had no finding is not looked at again while all
that makes up the answer is the same: its preprocessed text with comments and macros, the compiler's
options, .clang-tidy and clang-tidy's version. What passed is remembered in BUILD_FOLDER/tidy.
"""

import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time


def options_of(entry):
    """The compiler's options in an entry of compile_commands.json, without what names in- and output."""
    words = shlex.split(entry["command"])
    # The first word that is no launcher (ccache) is the compiler.
    words = words[2:] if os.path.basename(words[0]) == "ccache" else words[1:]
    options, is_value = [], False
    for word in words:
        if is_value or word in ("-o", "-MF", "-MT"):
            is_value = not is_value
        elif word not in ("-c", "-MD", entry["file"]):
            options.append(word)
    return options


def key_of(entry, fixed):
    """What the answer depends on, as a number; None if the file cannot be preprocessed."""
    options = options_of(entry)
    done = subprocess.run(["clang++", *options, "-w", "-E", "-C", "-dD", entry["file"]], cwd=entry["directory"],
                          capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        return None
    return hashlib.sha256(b"\0".join([fixed, *(word.encode() for word in options), done.stdout])).hexdigest()


def look_at(file, entry, folder, fixed):
    """Whether there is no finding, and what to print."""
    begun = time.monotonic()
    key = key_of(entry, fixed)
    remembered = os.path.join(folder, "tidy", key) if key else None
    if remembered and os.path.exists(remembered):
        return True, f"{file} (as before)"
    done = subprocess.run(["clang-tidy", "--quiet", "-p", folder, file], capture_output=True, text=True,
                          errors="replace", check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0 and remembered:
        with open(remembered, "w", encoding="utf-8") as passed:
            passed.write(file + "\n")
    noise = [line for line in done.stderr.splitlines() if not line.endswith(" generated.")]
    said = "\n".join([done.stdout.rstrip(), *noise]).strip()
    return done.returncode == 0, f"{file} ({time.monotonic() - begun:.0f} s)" + (f"\n{said}" if said else "")


def main(arguments):
    if len(arguments) != 2 or not arguments[1].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    folder, jobs = arguments[0], int(arguments[1])
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as file:
        known = {os.path.relpath(entry["file"]): entry for entry in json.load(file)}
    files = [name for name in sys.stdin.read().split("\n") if name in known]
    os.makedirs(os.path.join(folder, "tidy"), exist_ok=True)
    with open(".clang-tidy", "rb") as rules:
        fixed = rules.read()
    fixed += subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        looks = [pool.submit(look_at, name, known[name], folder, fixed) for name in files]
        for number, look in enumerate(concurrent.futures.as_completed(looks), 1):
            is_clean, said = look.result()
            failed += not is_clean
            print(f"[{number}/{len(files)}] {said}", flush=True)
    print(f"{len(files)} files, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
