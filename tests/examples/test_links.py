"""Links of README and pages: files are there, headings exist, pictures are used; addresses elsewhere are only well formed.

Convention: a heading's anchor is its text in small letters, without punctuation, with hyphens for spaces, as MyST and GitHub
make it; a second heading of the same text gets ``-1``.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
DEEPEST = 3  # level of a heading that has an anchor (`myst_heading_anchors` in docs/conf.py)


def prose(text):
    """A page without its code, in which brackets are no links."""
    fenced = re.sub(r"^(`{3,}|:{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "code", fenced)


def links(page):
    return [(mark == "!", text, target) for mark, text, target in LINK.findall(prose(page.read_text()))]


def anchors(page):
    fenced = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = []
    for heading in re.findall(rf"^#{{1,{DEEPEST}}} +(.+?)\s*$", fenced, flags=re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return found


def is_elsewhere(target):
    return "://" in target or target.startswith("mailto:")


def broken(page):
    """The links of a page that lead nowhere."""
    wrong = []
    for _, _, target in links(page):
        if is_elsewhere(target):
            parts = urlsplit(target)
            fine = parts.scheme in ("http", "https") and "." in parts.netloc
        else:
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            fine = file.exists() and ROOT in (file, *file.parents)
            fine = fine and (not anchor or (file.suffix == ".md" and anchor in anchors(file)))
        if not fine:
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page):
    assert broken(page) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](there.md#two-words) `[b](nowhere)`", []),
        ("[a](there.md#three)", ["there.md#three"]),
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("![seen](none.png)", ["none.png"]),
        ("[a](https://nowhere)", ["https://nowhere"]),
        ("[a](https://www.example.org/page?x=1#y)", []),
        ("```\n[a](nowhere)\n```\n", []),
    ],
)
def test_a_broken_link_is_found(text, wrong, tmp_path, monkeypatch):
    monkeypatch.setitem(broken.__globals__, "ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# One\n\n## Two words!\n")
    (tmp_path / "page.md").write_text(text)
    assert broken(tmp_path / "page.md") == wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pictures_of_a_page_are_there_and_are_described(page):
    for is_picture, text, target in links(page):
        if is_picture:
            assert (page.parent / target).is_file()
            assert len(text.split()) >= 5


def test_every_picture_is_shown_somewhere():
    shown = {(page.parent / target).resolve() for page in PAGES for is_picture, _, target in links(page) if is_picture}
    assert set((ROOT / "docs/pictures").glob("*.png")) == {path for path in shown if path.suffix == ".png"}
