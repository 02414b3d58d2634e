"""The documents' links lead somewhere, and the paths they name exist."""

import os
import re

LINK = re.compile(r"\]\(([^)\s]+)\)")


def check_links(tree):
    for file in tree.files.values():
        if not file.path.endswith(".md"):
            continue
        folder = os.path.dirname(file.path)
        for number, line in enumerate(file.lines, 1):
            for target in LINK.findall(line):
                path = target.split("#")[0]
                if not path or "://" in path or path.startswith("mailto:"):
                    continue
                if not tree.exists(os.path.normpath(os.path.join(folder, path))):
                    yield file.path, number, f"the link to {target} leads nowhere; mend or drop it"
