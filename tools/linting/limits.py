"""How long things may be."""

import re

COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500
WORD_COLUMNS_MAX = 60  # a longer one may stick out


def is_unbreakable(line):
    """What no formatter can break: an address, an include, one long word such as a test vector."""
    words = line.split()
    return "://" in line or line.lstrip().startswith("#include") or max(map(len, words)) > WORD_COLUMNS_MAX


def check_columns(file, tables):
    for number, line in enumerate(file.lines, 1):
        if len(line) > COLUMNS_MAX and number not in tables and not is_unbreakable(line):
            yield file.path, number, f"{len(line)} columns, {COLUMNS_MAX} are enough; break the line"


def check_file(file, tables):
    count = len(file.lines) - len(tables)
    if count > FILE_LINES_MAX and not file.has_long_reason(1, 20):
        yield file.path, FILE_LINES_MAX, (f"{count} lines, {FILE_LINES_MAX} are enough; split by noun, or mark "
                                          "tables `lint: table`")


def check_functions(file, tables):
    for region in file.regions:
        if region.kind != "function":
            continue
        lines = set(range(region.head_line, region.last + 1)) - tables
        if len(lines) > FUNCTION_LINES_MAX and not file.has_long_reason(region.head_line, region.last):
            yield file.path, region.head_line, (f"{len(lines)} lines in one function, {FUNCTION_LINES_MAX} are enough; "
                                                "name its steps, or say `lint: long because ...`")


def python_functions(file):
    """(line, count) of each def, by indentation."""
    begun = []
    last = 0
    for number, line in enumerate(file.lines + ["end"], 1):
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        while begun and indent <= begun[-1][1] and not line.lstrip().startswith(")"):
            first, _ = begun.pop()
            yield first, last - first + 1
        if re.match(r"\s*(async )?def ", line):
            begun.append((number, indent))
        last = number


def check_python(file):
    for first, count in python_functions(file):
        if count > FUNCTION_LINES_MAX:
            yield file.path, first, f"{count} lines in one function, {FUNCTION_LINES_MAX} are enough; name its steps"


def check_limits(tree):
    for file in tree.files.values():
        if not file.is_cpp and not file.is_script:
            continue
        tables = file.table_lines()
        if file.is_cpp:
            yield from check_columns(file, tables)
            yield from check_functions(file, tables)
        elif file.path.endswith(".py"):
            yield from check_python(file)
        yield from check_file(file, tables)
