"""The commands that the pages print are commands: every verb and every flag of them exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from ungrid.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands_of(page: Path) -> list[list[str]]:
    """The words of every `ungrid ...` in the page's blocks without a language."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            parts = re.split(r"&&|\||;", line.split("#")[0])
            found += [shlex.split(part)[1:] for part in parts if part.split()[:1] == ["ungrid"]]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_verb_and_flag_exists(page):
    verbs = typer.main.get_command(app).commands
    for verb, *words in commands_of(page):
        assert verb in verbs, f"ungrid {verb}"
        flags = {flag for parameter in verbs[verb].params for flag in parameter.opts} | {"--help"}
        given = {word for word in words if re.match(r"--?[a-z]", word)}
        assert given <= flags, f"ungrid {verb} {' '.join(given - flags)}"


def test_there_are_some():
    assert sum(len(commands_of(page)) for page in PAGES) > 20
