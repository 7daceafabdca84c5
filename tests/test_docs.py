"""What the documents point at exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [p for p in (ROOT / "README.md", *ROOT.glob("*/README.md")) if p.exists()]
LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_to_files(path):
    links = LINK.findall(path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_a_dead_link_is_seen():
    assert LINK.findall("[a](b/c.md#d), [e](https://f), [g](#h)") == ["b/c.md"]
