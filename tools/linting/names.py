"""What of the naming rules a program can see."""

import re

SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*_?")
FILE_NAME = re.compile(r"[a-z][a-z0-9_]*\.(cpp|hpp)")
TYPE = re.compile(r"\b(?:enum\s+class|enum\s+struct|class|struct|enum|union)\s+(?:\[\[\w+\]\]\s*)?([A-Za-z_]\w*)"
                  r"\s*(?:final\s*)?(?=[{:])(?!::)")
# The RFC's own short words (init, auth, id, ts, sa, spi, ke, cp, md) are names.
ABBREVIATIONS = {
    "addr": "address", "alg": "algorithm", "algo": "algorithm", "buf": "buffer", "cb": "callback", "cfg": "configuration",
    "cmd": "command", "cnt": "count", "cntr": "counter", "conf": "configuration", "conn": "connection",
    "ctx": "context", "dst": "destination", "enc": "encryption", "err": "error", "evt": "event", "fn": "function",
    "hdr": "header", "idx": "index", "iface": "interface", "init_ctx": "context", "len": "size", "mgr": "manager",
    "num": "count", "pkt": "packet", "proc": "process", "prop": "proposal", "req": "request", "res": "result",
    "resp": "response", "src": "source", "str": "text", "sz": "size", "tmp": "what it holds", "util": "its noun",
    "utils": "its noun", "val": "value", "xform": "transform",
}
# `size_left` is what remains; an end is named by the first word.
SIDES = re.compile(r"\b(left|right)(_\w+)?\b")
TEST_CASE = re.compile(r'\b(?:TEST_CASE|TEST_CASE_FIXTURE|SCENARIO)\s*\((?:\s*\w+\s*,)?\s*"((?:\\.|[^"\\])*)"')


def check_word(path, line, what, name):
    for word in name.strip("_").split("_"):
        if word in ABBREVIATIONS:
            yield path, line, f"{what} '{name}' abbreviates; write '{ABBREVIATIONS[word]}' for '{word}'"


def check_file_name(file):
    base = file.path.rsplit("/", 1)[-1]
    if not FILE_NAME.fullmatch(base):
        yield file.path, 1, f"file '{base}' is not snake_case .cpp or .hpp"
    yield from check_word(file.path, 1, "file", base.split(".")[0])


def check_types(file):
    for number, line in enumerate(file.code_lines, 1):
        for found in TYPE.finditer(line):
            name = found.group(1)
            if re.search(r"template\s*<[^>]*$|typename\s*$", line[:found.start()]):
                continue
            if not SNAKE.fullmatch(name):
                yield file.path, number, f"type '{name}' is not snake_case"
            yield from check_word(file.path, number, "type", name)


def check_macros(file):
    for number, line in enumerate(file.code_lines, 1):
        found = re.match(r"\s*#\s*define\s+(\w+)", line)
        if not found or not file.is_header or re.match(r"(IMAGO|DOCTEST_CONFIG|CAF)_", found.group(1)):
            continue
        if not re.search(rf"#\s*undef\s+{found.group(1)}\b", file.code):
            yield file.path, number, f"macro '{found.group(1)}' in a header must begin with IMAGO_ or be undefined there"


def check_sides(file):
    for number, line in enumerate(file.code_lines, 1):
        found = SIDES.search(line)
        # std::left is an iostream manipulator; ::left of other libraries is theirs.
        if found and not line[:found.start()].endswith("std::"):
            yield file.path, number, (f"'{found.group()}': never left or right; local and remote for ends, inbound and "
                                      "outbound for kernel SAs, size_left for what remains")


def check_namespace(file):
    if not file.path.startswith(("core/", "kernel_if/", "actors/", "world/")) or not file.is_header:
        return
    if not re.search(r"\bnamespace\s+imago\b", file.code) and re.search(r"\bnamespace\b|[;{]", file.code):
        yield file.path, 1, "the header's names are outside namespace imago"


def check_tests(file, seen):
    """Names are sentences, `subject: what holds`, and each is there once in its program."""
    if not file.path.startswith("tests/"):
        return
    room = file.path.split("/")[1]
    for found in TEST_CASE.finditer(file.text):
        line = file.text.count("\n", 0, found.start()) + 1
        name = found.group(1)
        if not re.match(r"[^:]+: .+ ", name):
            yield file.path, line, f'test "{name}" is not a sentence like "reader: a failed read sticks"'
        if (room, name) in seen:
            yield file.path, line, f'test "{name}" is also in {seen[room, name]}'
        seen[room, name] = f"{file.path}:{line}"


def check_names(tree):
    seen = {}
    for file in tree.cpp():
        for check in (check_file_name, check_types, check_macros, check_sides, check_namespace):
            yield from check(file)
        yield from check_tests(file, seen)
