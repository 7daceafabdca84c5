"""Fuzzes run folders: a report and a plot must be made whatever a neighbouring folder contains.

    python tests/fuzz/run_mutants.py 100000 [--seed 0]

Each mutant is a run of one of four kinds with one to three errors: values, texts, bytes, special
files, names. It lies beside a valid run, and must be read or left out by name. The page must be
well-formed, contain only our own tags and attributes and no coordinate that is not finite, and
cause no warning.
"""

from __future__ import annotations

import argparse
import csv
import html
import io
import json
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from run_folders import example_columns, write_csv, write_evaluation, write_run

import fasttrpo.report
from fasttrpo.logs.logger import _TAGS
from fasttrpo.report.curves import AXES, average
from fasttrpo.report.groups import group_runs
from fasttrpo.report.page import page
from fasttrpo.report.runs import load

REPORT = Path(fasttrpo.report.__file__).parent
MOST_MEMORY = 256 << 10  # kB, of the whole process
RECORDS = 6
NAMES = (
    "run",
    "seed 7",
    "<script>alert(1)<",
    "\"'&<b>",
    "a\nb",
    "\x1b[31m",
    os.fsdecode(b"caf\xe9"),
    os.fsdecode(b"\xff\xfe\x80"),
    "\u202egnp",
    "\u4f60\u597d",
    "\xb2",
    "%s%n$x^2$",
    "1" * 200,
)
WORDS = (
    *("", " ", "nan", "NaN", "-inf", "inf", "1e308", "-1e308", "1e300", "-1e300", "1e-320"),
    *("0", "-0", "-1", "1.5", "1e18", "1e19", "9" * 400, "0x10", "1_0", "True", "None", "null"),
    *("<script>", '"><script>alert(1)</script>', "'", "&amp;", "taken", "kl", "\x00", "\u0663"),
    *("x" * 200, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "a\tb", "=1+1"),
)
VALUES = (
    *(None, True, False, 0, -1, 1, 1.5, 1e308, -1e308, 1e300, 2**63, 10**400, 10**18),
    *(float("nan"), float("inf"), "", "4000", "\ud800", "\udce9", "<img src=x onerror=alert(1)>"),
    *("x" * 5000, [], [1], [None], ["a", {}], [1e308, -1e308], {}, {"a": None}, {"a": {"b": []}}),
    *({"<b>": "</td>"}, [[[[1]]]], "linear", "linear_x", "LinearPolicy", "CnnPolicy"),
)
JUNK = (
    *(b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b'"', b'""', b",", b"\n", b"\r", b"\r\n"),
    *(b"\x85", b"\xe2\x80\xa8", b"{", b"]", b"[" * 3000, b"\x1a", b"</script>", b"'" * 40),
    *(b"x" * 140_000, b'"' + b"y" * 140_000, b"," * 3000, b"PK\x03\x04", b"1e999", b"\\ud800"),
)


# -- mutations ------------------------------------------------------------------------------------


def base_runs(folder):
    """The files of a run of each kind: name -> bytes."""
    write_evaluation(write_run(folder / "run", RECORDS), success_rate=0.5)
    columns = {"num_timesteps": [200, 400], "mean_reward": [10.0, 20.0]}
    write_csv(folder / "run" / "evaluations.csv", columns)
    (folder / "run" / "error.txt").write_text("Traceback\n  at\nValueError: boom\n")
    tags = {_TAGS.get(name, f"train/{name}"): v for name, v in example_columns(RECORDS, 0).items()}
    (folder / "tags").mkdir()
    write_csv(folder / "tags" / "progress.csv", tags)
    config = json.loads((folder / "run" / "config.json").read_text())
    config |= {"env_is_given": True, "ended": "callback"}
    (folder / "tags" / "settings.json").write_text(json.dumps(config))
    (write_run(folder / "old", RECORDS) / "config.json").unlink()
    write_evaluation(folder / "old", name="eval.json")
    write_run(folder / "short", RECORDS, seed=3, total=10**6, settings={"policy": "LinearPolicy"})
    return [
        {file.name: file.read_bytes() for file in sorted(run.iterdir())}
        for run in sorted(folder.iterdir())
    ]


def mutated(draw, files):
    """The files with errors. None stands for a folder, a link to itself or a pipe of that name."""
    files = dict(files)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        name = draw.choice(sorted(files))
        data = files[name]
        if data is None:
            continue
        kind = draw.random()
        if kind < 0.03:
            files[name] = None
        elif kind < 0.05:
            del files[name]
            files.setdefault("progress.csv", b"")
        elif kind < 0.25:
            files[name] = raw(draw, data)
        elif name.endswith(".json"):
            files[name] = of_json(draw, data)
        elif name.endswith(".csv"):
            files[name] = of_csv(draw, data)
        else:
            files[name] = raw(draw, data)
    return files


def raw(draw, data):
    """Changed bytes."""
    at, end = sorted(draw.choices(range(len(data) + 1), k=2))
    return draw.choice(
        (
            lambda: data[:at],
            lambda: data[at:],
            lambda: data[:at] + data[end:],
            lambda: data[:end] + data[at:],
            lambda: data[:at] + draw.choice(JUNK) + data[at:],
            lambda: data[:at] + bytes(draw.choices(range(256), k=draw.randrange(9))) + data[end:],
            lambda: draw.choice(JUNK) + data,
            lambda: data.replace(b"\n", draw.choice((b"\r", b"\r\n", b"\n\n", b"\r\r\n", b"\x0b"))),
            lambda: data.decode("latin-1").encode(draw.choice(("utf-16", "utf-32", "utf-8-sig"))),
            lambda: bytes(draw.choices(range(256), k=draw.randrange(2000))),
        )
    )()


def of_json(draw, data):
    """A changed value, key or depth."""
    try:
        tree = json.loads(data)
        places = list(nodes(tree))
    except (ValueError, RecursionError):
        return raw(draw, data)
    if not places:
        return json.dumps(draw.choice(VALUES)).encode()
    inside, key = draw.choice(places)
    kind = draw.randrange(6)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, dict):
        inside[draw.choice(NAMES + WORDS)] = inside.pop(key)
    elif kind == 2:
        deep = "[" * draw.choice((10, 25, 100_000))
        inside[key] = "@"
        return json.dumps(tree).replace('"@"', deep + "1" + "]" * len(deep)).encode()
    elif kind == 3 and isinstance(inside, dict):
        inside |= {str(i): draw.choice(VALUES) for i in range(draw.choice((3, 50, 1500)))}
    else:
        inside[key] = draw.choice(VALUES)
    return json.dumps(tree).encode()


def nodes(tree):
    """(container, key) of each value in the tree."""
    if not isinstance(tree, dict | list):
        return
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        yield from nodes(value)


def of_csv(draw, data):  # noqa: C901, PLR0912
    """Changed cells, rows or columns."""
    try:
        rows = list(csv.reader(io.StringIO(data.decode(errors="replace"), newline="")))
    except csv.Error:
        return raw(draw, data)
    if len(rows) < 2 or not rows[0]:
        return raw(draw, data)
    i, j = draw.randrange(1, len(rows)), draw.randrange(len(rows[0]))
    kind = draw.randrange(9)
    if kind == 0:  # cells
        for _ in range(draw.choice((1, 5, 50))):
            row = rows[draw.randrange(1, len(rows))]
            if row:
                row[draw.randrange(len(row))] = draw.choice(WORDS)
    elif kind == 1:  # a column
        word = draw.choice(WORDS)
        for row in rows[1:]:
            row[j : j + 1] = [draw.choice(WORDS) if draw.random() < 0.3 else word]
    elif kind == 2:  # a name
        rows[0][j] = draw.choice(NAMES + WORDS + tuple(rows[0]))
    elif kind == 3:  # a row's length
        rows[i] = rows[i][:j] if draw.random() < 0.5 else rows[i] + rows[i]
    elif kind == 4:  # more columns
        more = draw.choice((1, 100, 3000))
        rows[0] += [f"c{k}" for k in range(more)]
    elif kind == 5:  # order
        part = rows[1:]
        draw.shuffle(part)
        rows[1:] = part
    elif kind == 6:  # twice
        rows += rows[1:] * draw.choice((1, 30))
    elif kind == 7:  # without a column
        rows = [row[:j] + row[j + 1 :] for row in rows]
    else:  # one cell
        rows[i][j : j + 1] = [draw.choice(WORDS)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=draw.choice(("\n", "\r\n"))).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def lay_out(draw, folder, files):
    """Writes the mutant's files."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        if data is not None:
            (folder / name).write_bytes(data)
            continue
        make = (os.mkdir, os.mkfifo, lambda path: os.symlink(path, path))
        draw.choice(make)(folder / name)


# -- checks ---------------------------------------------------------------------------------------


# The tags of a page, and their allowed attributes.
OURS = {
    **dict.fromkeys(("head", "title", "style", "body", "main", "h1", "h2", "h3", "b"), ""),
    **dict.fromkeys(("thead", "tbody", "footer", "script", "details", "summary", "code"), ""),
    **dict.fromkeys(("p", "ul", "li", "tr", "table"), "class"),
    "td": "class data-label",
    "th": "class scope",
    "pre": "class tabindex",
    "html": "lang",
    "meta": "charset name content",
    "span": "class",
    "div": "class id hidden tabindex",
    "i": "class style title",
    "svg": "class viewBox role aria-label aria-hidden data-points data-unit",
    "path": "class d",
    "text": "class x y",
    "circle": "class cx cy r",
}


VOID = {"meta", "path", "circle", "br"}
TAG = re.compile(r'<(/?)(\w+)((?: [\w-]+(?:=(?:"[^"<>]*"|\w+))?)*)(/?)>')
ATTRIBUTE = re.compile(r' ([\w-]+)(?:=(?:"([^"<>]*)"|(\w+)))?')
OWN_FILES = [(REPORT / name).read_text() for name in ("page.css", "page.js")]


def check_page(text):
    """Asserts that all markup of a page is ours, with balanced tags."""
    text.encode()
    assert len(text) < 1 << 20
    for own in OWN_FILES:
        assert text.count(own) == 1
        text = text.replace(own, "")
    text = text.removeprefix("<!DOCTYPE html>")
    opened = []
    for closes, tag, attributes, alone in TAG.findall(text):
        if closes:
            assert opened.pop() == tag
        elif tag not in VOID and not alone:
            opened.append(tag)
        check_attributes(tag, attributes)
    assert opened == []
    assert not {"<", ">"} & set(TAG.sub("", text))


def check_attributes(tag, text):
    """Asserts that the attributes are ours and that coordinates are finite."""
    for name, value, _ in ATTRIBUTE.findall(text):
        assert name in OURS[tag].split(), (tag, name)
        if name == "data-points":
            json.loads(html.unescape(value))
        if name in ("d", "cx", "cy", "x", "y"):
            assert not re.search("nan|inf", value), value


def check(root):
    """Reports on and plots the runs; raises if something is wrong. Returns whether the mutant was
    read.
    """
    runs, left_out = load([root])
    assert any(run.folder.name == "valid" for run in runs)
    assert len(runs) + len(left_out) == 2
    groups = group_runs(runs)
    check_page(page(groups, left_out, {group.env_id: 100.0 for group in groups[:1]}))
    wanted = [(g, column, x) for g in groups for column in ("return_mean", "kl") for x in AXES]
    for found in filter(None, (average(*each) for each in wanted)):
        bands = [found.low, found.high] if found.low is not None else []
        for values in (found.x, found.mean, found.iqm, *bands):
            assert np.isfinite(values).all()
    for text in left_out:
        assert "mutant" in text
    return not left_out


def run_mutant(seed, files, root):
    """Makes one mutant of the runs `files` beside a valid run; returns whether it was read."""
    draw = random.Random(seed)
    write_run(root / "valid", RECORDS, seed=1)
    mutant = mutated(draw, draw.choice(files))
    lay_out(draw, root / "mutant" / draw.choice(NAMES), mutant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return check(root)


def run_mutants(n, seed, folder, report=lambda n, counts: None):
    """Counts the outcomes of n mutants. An exception gets a note with the seed that makes its
    mutant again.
    """
    files, counts = base_runs(folder / "base"), Counter()
    for i in range(n):
        root = folder / "mutant"
        try:
            counts["read" if run_mutant(seed + i, files, root) else "left out"] += 1
        except Exception as error:
            error.add_note(f"the mutant of seed {seed + i}, kept in {root}")
            raise
        shutil.rmtree(root)
        report(i + 1, counts)
    return counts


def main():
    """Runs the mutants and prints the outcomes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder, start = Path(tempfile.mkdtemp(prefix="run-mutants-")), time.monotonic()

    def report(n, counts):
        if n % 1000 == 0:
            print(f"{n} mutants, {time.monotonic() - start:.0f} s: {dict(counts)}", flush=True)

    counts = run_mutants(args.n, args.seed, folder, report)
    shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{args.n} mutants: {dict(counts)}, at most {peak >> 10} MB")
    assert peak < MOST_MEMORY


if __name__ == "__main__":
    main()
