"""The documentation as a site: it builds, its links lead somewhere, and it needs no network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.tools.docs import ROOT

#: Attributes whose addresses a browser follows by itself, when the page is shown.
LOADED = {("link", "href"), ("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src")}


def build(root: Path) -> subprocess.CompletedProcess[str]:
    """Build the pages in `root` as `make docs` does; the site is in its build/site."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def copied(root: Path) -> Path:
    """A folder with the pages and their configuration."""
    shutil.copytree(ROOT / "docs", root / "docs")
    shutil.copy(ROOT / "zensical.toml", root)
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copied(tmp_path_factory.mktemp("pages"))
    built = build(root)
    assert built.returncode == 0, built.stdout + built.stderr
    return root / "build" / "site"


class Page(HTMLParser):
    """The addresses in a page, as (tag, attribute, address), and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str, str]] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if name in {"href", "src", "srcset", "data"} and value:
                self.addresses.append((tag, name, value))


@cache
def page(path: Path) -> Page:
    parsed = Page()
    parsed.feed(path.read_text())
    return parsed


def every_address(site: Path) -> Iterator[tuple[Path, str, str, str]]:
    for path in sorted(site.glob("*.html")):
        if path.name != "404.html":  # its addresses are those of a site at the root of a host
            for tag, attribute, address in page(path).addresses:
                yield path, tag, attribute, address


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    seen = set()
    for path, tag, attribute, address in every_address(site):
        if (tag, attribute) in LOADED:
            seen.add(tag)
            assert not urlsplit(address).netloc, f"{path.name} loads {address}"
        else:
            assert tag == "a", f"{path.name}: <{tag} {attribute}={address!r}>"
    assert seen >= {"link", "script", "img"}
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text() and "@import" not in style.read_text()


def test_the_parts_that_would_load_something_are_not_used(site: Path) -> None:
    """The theme's script fetches a program for each of these when a page has it."""
    for path in site.glob("*.html"):
        for name in ('class="mermaid"', 'class="glightbox"', "data-md-component=source"):
            assert name not in path.read_text(), f"{path.name}: {name}"


def test_every_address_in_a_page_exists(site: Path) -> None:
    for path, _, _, address in every_address(site):
        parts = urlsplit(address)
        if parts.scheme in {"http", "https"}:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.is_file(), f"{path.name}: {address}"
        if parts.fragment and target.suffix == ".html":
            assert unquote(parts.fragment) in page(target).anchors, f"{path.name}: {address}"


def test_a_broken_link_or_anchor_ends_the_build(tmp_path: Path) -> None:
    index = copied(tmp_path) / "docs" / "index.md"
    index.write_text(index.read_text() + "\n[a](nothing.md) [b](design.md#nothing)\n")
    built = build(tmp_path)
    assert built.returncode != 0
    assert "page does not exist" in built.stderr + built.stdout
    assert "anchor does not exist" in built.stderr + built.stdout
