"""The tree and its files as the rules see them: comments apart, braces understood."""

import os
import re

CPP = (".cpp", ".hpp")
SCRIPTS = (".py", ".sh")

CONTROL = {"if", "for", "while", "switch", "catch", "do", "else", "try", "return", "co_return"}
TRAILERS = {"const", "noexcept", "override", "final", "mutable", "try"}
ALLOW = re.compile(r"lint: allow ([\w-]+) because \S")
TABLE = "lint: table"
LONG = re.compile(r"lint: long because \S")


def split_comments(text):
    """Text with comments and the contents of literals blanked, and the comments alone. Both keep
    every line and column where it was."""
    code, comments = [], []
    at, end = 0, len(text)
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)
    blank = re.compile(r"[^\n]")
    while at < end:
        found = token.search(text, at)
        if not found:
            code.append(text[at:])
            comments.append(blank.sub(" ", text[at:]))
            break
        code.append(text[at:found.start()])
        comments.append(blank.sub(" ", text[at:found.start()]))
        piece = found.group()
        if piece.startswith(("//", "/*")):
            code.append(blank.sub(" ", piece))
            comments.append(piece)
        else:
            first, last = piece.find(piece.lstrip("R")[0]), len(piece) - 1
            inside = blank.sub(" ", piece[first + 1:last])
            code.append(piece[:first + 1].replace("R", " ") + inside + piece[last])
            comments.append(blank.sub(" ", piece))
        at = found.end()
    return "".join(code), "".join(comments)


def blank_preprocessor(code):
    lines, continued = [], False
    for line in code.split("\n"):
        directive = continued or line.lstrip().startswith("#")
        continued = directive and line.rstrip().endswith("\\")
        lines.append(" " * len(line) if directive else line)
    return "\n".join(lines)


class Region:
    """A pair of braces: what opened it and the lines it spans."""

    def __init__(self, kind, head, head_line, first, depth):
        self.kind = kind  # namespace, type, function, data, block
        self.head = head
        self.head_line = head_line  # where the statement begins
        self.first = first  # the line of the opening brace
        self.last = first
        self.depth = depth


def region_kind(head, parentheses, outer):
    words = re.findall(r"[A-Za-z_]\w*", head)
    last = re.search(r"[A-Za-z_]\w*\s*$", head)
    if parentheses > 0:
        return "data"
    if re.search(r"\b(namespace|extern)\b", head) and "(" not in head:
        return "namespace"
    if outer in ("function", "block", "data"):
        return "data" if head.rstrip().endswith(("=", ",", "return")) or outer == "data" else "block"
    if re.search(r"\b(class|struct|union|enum)\b", head) and not re.search(r"\)\s*\w*\s*$", head):
        return "type"
    # `name() : member_{value} {`: the first brace belongs to the initializer list.
    if re.search(r"\)\s*(noexcept\s*)?:(?!:)", head) and last and last.group().strip() not in TRAILERS:
        return "data"
    if "(" in head and not (words and words[0] in CONTROL) and not head.rstrip().endswith("="):
        return "function"
    return "data"


def find_regions(code):
    regions, stack = [], []
    head, head_line, line, parentheses = "", 1, 1, 0
    for character in blank_preprocessor(code):
        if character == "\n":
            line += 1
        if character == "{":
            outer = stack[-1][0].kind if stack else "namespace"
            region = Region(region_kind(head, parentheses, outer), head.strip(), head_line, line,
                            len(stack))
            regions.append(region)
            stack.append((region, head, head_line, parentheses))
            head, parentheses = "", 0
        elif character == "}":
            if not stack:
                continue
            region, outer_head, outer_line, parentheses = stack.pop()
            region.last = line
            # An initializer belongs to the statement around it, which goes on.
            head, head_line = (outer_head + "{}", outer_line) if region.kind == "data" else ("", line)
        elif character == ";" and parentheses == 0:
            head = ""
        else:
            parentheses += {"(": 1, ")": -1}.get(character, 0)
            if not head.strip():
                head, head_line = "", line
            head += character
            if re.search(r"^\s*(public|private|protected)\s*:$", head):
                head = ""
    return regions


class SourceFile:
    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        if self.is_cpp:
            self.code, self.comments = split_comments(text)
        else:
            self.code = self.comments = text
        self.code_lines = self.code.split("\n")
        self.comment_lines = self.comments.split("\n")
        self._regions = None

    @property
    def is_cpp(self):
        return self.path.endswith(CPP)

    @property
    def is_header(self):
        return self.path.endswith(".hpp")

    @property
    def is_script(self):
        return self.path.endswith(SCRIPTS) or self.text.startswith("#!")

    @property
    def regions(self):
        if self._regions is None:
            self._regions = find_regions(self.code) if self.is_cpp else []
        return self._regions

    def allows(self, line, rule):
        """Whether this line or the one above carries a reasoned exception to the rule."""
        for number in (line, line - 1):
            if 1 <= number <= len(self.comment_lines):
                found = ALLOW.search(self.comment_lines[number - 1])
                if found and found.group(1) == rule:
                    return True
        return False

    def table_lines(self):
        """The lines of regions that are marked as data."""
        marked = set()
        for number, comment in enumerate(self.comment_lines, 1):
            if TABLE not in comment:
                continue
            after = [region for region in self.regions if region.first >= number]
            if after:
                table = min(after, key=lambda region: (region.first, region.depth))
                marked.update(range(table.first, table.last + 1))
        return marked

    def has_long_reason(self, first, last):
        return any(LONG.search(line) for line in self.comment_lines[max(first - 2, 0):last])

    def includes(self):
        """(line, name, rooted): name without its quotes or brackets, rooted if it was quoted."""
        for number, line in enumerate(self.lines, 1):
            found = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line)
            # A raw string may hold an example's text; then the code has no directive there.
            if found and self.code_lines[number - 1].lstrip().startswith("#"):
                yield number, found.group(1) or found.group(2), found.group(1) is not None


class Tree:
    def __init__(self, root, paths):
        self.root = root
        self.paths = set(paths)
        self.files = {}
        for path in paths:
            try:
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    text = file.read()
            except (UnicodeDecodeError, OSError):
                continue  # binary: corpora, certificates
            if "\0" not in text:
                self.files[path] = SourceFile(path, text)

    def cpp(self):
        return [file for file in self.files.values() if file.is_cpp]

    def exists(self, path):
        return path in self.paths or os.path.exists(os.path.join(self.root, path))
