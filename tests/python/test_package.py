"""The package as a whole: stubs, docstrings, examples, the page that teaches it."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

import imago
from imago import _imago

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples" / "scripts").glob("*.py"))


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_the_stubs_have_what_the_module_has_and_nothing_else():
    tree = ast.parse((ROOT / "python/imago/_imago.pyi").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert set(classes) | functions == public(vars(_imago))
    for name, node in classes.items():
        if issubclass(getattr(_imago, name), Exception):
            continue
        stubbed = {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
        assert public(stubbed) == public(vars(getattr(_imago, name))), name


def test_every_function_and_class_says_what_it_does():
    for name in imago.__all__:
        one = getattr(imago, name)
        assert one.__doc__, name
        if one.__module__ != "imago._imago" or not isinstance(one, type):
            continue
        for member in public(vars(one)):
            if callable(getattr(one, member)):
                assert getattr(one, member).__doc__.strip().count("\n") >= 2, f"{name}.{member}"


def run_script(text_or_path, folder):
    command = [sys.executable, str(text_or_path)]
    environment = dict(os.environ, PYTHONPATH=str(pathlib.Path(imago.__file__).parents[1]))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_does_what_it_says(script, tmp_path):
    said = run_script(script, tmp_path)
    assert len(said.splitlines()) >= 3 and "FAILED" not in said
    assert '"""' in script.read_text().splitlines()[1]


def test_there_are_five_examples():
    assert [one.stem for one in SCRIPTS] == ["kill_during_crypto", "larval_race", "lossy_network", "plain_tunnel",
                                            "rekey_collision"]


def blocks(page):
    """Python of the page, and the output that follows a block, if the page shows it."""
    return re.findall(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", page.read_text(), re.S)


def follow(page, folder):
    """Each block is appended to one script, as somebody does who follows the page in an empty directory."""
    script, shown = "", ""
    for code, output in blocks(page):
        script += code
        shown += output
    assert script, f"{page} has no Python"
    (folder / "followed.py").write_text(script)
    return run_script(folder / "followed.py", folder), shown


def test_the_page_of_scripting_can_be_followed_from_an_empty_directory(tmp_path):
    said, shown = follow(ROOT / "docs/scripting.md", tmp_path)
    assert said == shown


def test_the_script_of_the_readme_prints_what_the_readme_shows(tmp_path):
    said, shown = follow(ROOT / "README.md", tmp_path)
    assert said == shown
    assert len(blocks(ROOT / "README.md")[0][0].splitlines()) <= 10
