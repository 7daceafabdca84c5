"""One module makes markup and escapes all text; no other module writes a tag."""

from __future__ import annotations

import ast

import pytest
from sources import PACKAGE, name_of, read

from fasttrpo.report.markup import document, element, joined

HOSTILE = "<script>alert('x')</script>\"&\x1b\udcff"
SAFE = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;\\x1b\\xff"


def test_text_and_attributes_are_escaped():
    assert str(element("p", HOSTILE, title=HOSTILE)) == f'<p title="{SAFE}">{SAFE}</p>'
    assert str(joined([HOSTILE, None, element("b", "x")], "<")) == f"{SAFE}&lt;&lt;<b>x</b>"


def test_markup_in_a_text_is_text():
    """An element formatted into a string is escaped like any text."""
    assert str(element("p", f"{element('b', 'x')}")) == "<p>&lt;b&gt;x&lt;/b&gt;</p>"


def test_attributes_and_void_elements():
    drawn = element("i", class_="a", data_points=1.5, hidden=True, id=None, lang=False)
    assert str(drawn) == '<i class="a" data-points="1.5" hidden></i>'
    assert str(element("path", d="M0 0")) == '<path d="M0 0"/>'
    assert document(element("meta", charset="utf-8")) == '<!DOCTYPE html>\n<meta charset="utf-8">\n'


FILES = sorted(p for p in (PACKAGE / "report").glob("*.py") if p.stem != "markup")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_other_module_writes_markup(path):
    tree = ast.parse(read(path))
    made = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and calls(n) == "Markup"]
    assert not made
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    tags = [t for t in texts if isinstance(t, str) and ("</" in t or "/>" in t or t[:1] == "<")]
    assert not tags


def calls(node):
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
