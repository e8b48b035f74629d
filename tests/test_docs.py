"""The docs name nothing that does not exist, and the checker finds each kind of wrong name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools import docs
from tests.tools.pages import PAGES


def test_the_docs_name_nothing_that_does_not_exist() -> None:
    assert list(docs.problems()) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("`service/nothing.py`", "path service/nothing.py"),
        ("```\ncat docs/nothing.md\n```", "path docs/nothing.md"),
        ("`service/broker/nothing*.py`", "path service/broker/nothing*.py"),
        ("[text](nothing.md)", "link to nothing.md"),
        ("[text](docs/design.md#nothing)", "link to docs/design.md#nothing"),
        ("# A heading\n[text](#another-heading)\n", "link to #another-heading"),
        ("it ends with exit code 99", "exit code 99"),
        ("`make nothing`", "make target nothing"),
        ("```\ngit pull && make nothing\n```", "make target nothing"),
        ("`eddycast nothing`", "command `eddycast nothing`"),
        (
            "```\n$ eddycast simulate DATA --nothing 3\n```",
            "option --nothing of `eddycast simulate`",
        ),
        (
            "```\neddycast simulate DATA \\\n    --nothing 3\n```",
            "option --nothing of `eddycast simulate`",
        ),
        ("`eddycast state nothing`", "command `eddycast state nothing`"),
        ("`eddycast state show NAME --force`", "option --force of `eddycast state`"),
        ("`eddycast serve --kafka.grup a`", "option --kafka.grup of `eddycast serve`"),
        ("`kafka.grup`", "setting kafka.grup"),
        ("`EDDYCAST_KAFKA__GRUP=a`", "variable EDDYCAST_KAFKA__GRUP"),
        ("`eddycast_nothing_total`", "metric eddycast_nothing_total"),
    ],
)
def test_what_does_not_exist_is_found(text: str, complaint: str) -> None:
    found = list(
        docs.check(
            f"Some words and {text} and more.\n" if "\n" not in text else text, docs.ROOT, docs.ROOT
        )
    )
    assert any(line.startswith(complaint) for line in found), found


@pytest.mark.parametrize(
    "text",
    [
        (
            "`service/processing/alignment.py`, `service/broker/kafka/*.py`, `docs/`, "
            "`build/model`, `.ci/run`, `Makefile`"
        ),
        "[settings](docs/settings.md) and [elsewhere](https://example.org/nothing.md#there)",
        "[time](docs/design.md#what-time-means)",
        "[below](#the-1st-heading)\n\n## The 1st `heading`!\n",
        "Exit codes 2 and 3, and exit 70.",
        "```\nmake demo\nmake test  # make sure\n```",
        "```\n$ eddycast simulate DATA --topic observations --speed 0 | head\n```",
        "`eddycast serve --kafka.group other --config FILE`",
        (
            "`eddycast state show, export, import` and `eddycast "
            "state import FILE --kafka.group other --force`"
        ),
        "`kafka.group` and `numpy.array`",
        "`EDDYCAST_KAFKA__GROUP` and `EDDYCAST_CONFIG`",
        "`eddycast_records_total`, `eddycast_commit_seconds_bucket`",
        "Plain words of service/nothing.py are not looked at.",
    ],
)
def test_what_exists_is_not_complained_about(text: str) -> None:
    assert list(docs.check(text, docs.ROOT, docs.ROOT)) == []


def test_a_page_that_was_changed_by_hand_is_found(tmp_path: Path) -> None:
    for name, page in PAGES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(page())
    assert list(docs.stale(tmp_path)) == []
    changed = tmp_path / "docs" / "settings.md"
    changed.write_text(changed.read_text().replace("Consumer group", "Group of consumers"))
    assert list(docs.stale(tmp_path)) == [
        "docs/settings.md: not what the code says; run `make docs`"
    ]


def test_pages_and_the_navigation_are_held_equal(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "new.md").write_text("# New\n")
    (tmp_path / "zensical.toml").write_text('[project]\nnav = [{ "Old" = "old.md" }]\n')
    assert list(docs.unlisted(tmp_path)) == [
        "docs/new.md: not in the navigation of zensical.toml",
        "docs/old.md: in the navigation of zensical.toml, and does not exist",
    ]
