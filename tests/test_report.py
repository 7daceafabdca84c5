"""`fasttrpo report`: the page's texts, its charts in a browser, and its safety."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import warnings
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from run_folders import example_columns, write_csv, write_evaluation, write_run
from tables import table

from fasttrpo import cli
from fasttrpo.report import diagnostics
from fasttrpo.report.groups import group_runs
from fasttrpo.report.page import page
from fasttrpo.report.remarks import remarks
from fasttrpo.report.runs import load
from fasttrpo.report.words import count, duration, join_words, number, percent
from fasttrpo.settings import POLICIES

ALL = (*diagnostics.STEP, *diagnostics.SYSTEM, *diagnostics.POLICY, diagnostics.SPEED)
VOID = {"meta", "path", "circle", "br"}


class Reader(HTMLParser):
    """Checks that tags are balanced; collects tags and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)

    def charts(self):
        return [attrs for tag, attrs in self.tags if tag == "svg" and "data-points" in attrs]


def report(*folders):
    """The page about the folders; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs, left_out = load(folders)
        return page(group_runs(runs), left_out)


def remarks_of(folder):
    (group,) = group_runs(load([folder])[0])
    return " | ".join(f"{remark.level}: {remark.text}" for remark in remarks(group))


@pytest.fixture
def seeds(tmp_path):
    for seed in range(3):
        write_evaluation(write_run(tmp_path / "runs" / f"seed{seed}", seed=seed))
    return tmp_path / "runs"


# -- the page -------------------------------------------------------------------------------------


def test_the_command_writes_one_file(seeds, capsys):
    assert cli.main(["report", str(seeds)]) == 0
    assert capsys.readouterr().out == f"saved {seeds / 'report.html'}\n"
    text = (seeds / "report.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert cli.main(["report", str(seeds / "seed0"), str(seeds / "seed1")]) == 0
    assert cli.main(["report", str(seeds), "--out", str(seeds)]) == 2


def test_the_page_loads_no_other_resources(seeds):
    text = report(seeds)
    reader = Reader(text)
    assert not [a for _, a in reader.tags if {"src", "href", "srcset", "xlink:href"} & set(a)]
    assert {tag for tag, _ in reader.tags}.isdisjoint({"link", "img", "iframe", "object"})
    assert not re.search(r"@import|url\(|fetch\(|https?://(?!www\.w3\.org/2000/svg)", text)


def test_steps_of_unequal_runs_are_shown_as_a_range(tmp_path):
    write_run(tmp_path / "seed0", n=40)
    write_run(tmp_path / "seed1", n=10, seed=1, total=4000)
    text = " ".join(Reader(report(tmp_path)).text.split())
    assert "CartPole-v1: 2 seeds of TRPO, 1k to 4k steps each." in text
    assert "1k to 4k environment steps each" in text


def test_the_headline_states_the_result(seeds):
    text = Reader(report(seeds)).text
    assert "CartPole-v1: 3 seeds of TRPO, 4k steps each." in text
    assert "reached 201 (range of the seeds 200 to 202)" in text
    assert "each policy scored 500 in the evaluation." in text


@pytest.mark.parametrize(("n", "name"), [(3, "range of the seeds"), (5, "95% band")])
def test_the_band_is_named_by_its_kind(n, name, tmp_path):
    """With fewer than five seeds there is no percentage, and no IQM that equals the mean."""
    for seed in range(n):
        write_run(tmp_path / f"seed{seed}", seed=seed)
    text = " ".join(Reader(report(tmp_path)).text.split())
    assert f"({name} " in text
    assert ("bootstrap" in text) == ("95%" in text) == (n >= 5)
    assert ("interquartile" in text) == (n >= 4)


def test_an_average_that_ends_early_says_where_and_why(seeds):
    write_run(seeds / "stopped", n=10, seed=7, total=4000)
    text = " ".join(Reader(report(seeds)).text.split())
    assert "at step 1,000, where seed 7 stopped" in text
    assert "The average ends at step 1,000, where seed 7 stopped" in text


def test_every_diagnostic_has_a_chart_and_an_explanation(seeds):
    reader = Reader(report(seeds))
    titles = {attrs["aria-label"] for attrs in reader.charts()}
    absent = {"Damping", "Standard deviation of actions"}  # constant; not of this distribution
    for diagnostic in ALL:
        assert (diagnostic.title in titles) == (diagnostic.title not in absent)
        assert (diagnostic.reading in reader.text) == (diagnostic.title not in absent)
    assert {"return over steps: CartPole-v1", "return over seconds"} <= titles
    for title in ("Steps taken and rejected", "Time by stage"):
        assert title in reader.text


def test_charts_have_finite_coordinates(seeds):
    text = report(seeds)
    for d in re.findall(r' d="([^"]*)"', text):
        assert "nan" not in d
        assert "inf" not in d
    assert len(re.findall(r'class="band c0"', text)) > 8


def test_settings_that_differ_from_defaults_are_marked(tmp_path):
    write_run(tmp_path / "run", settings={"target_kl": 0.05})
    text = report(tmp_path)
    assert '<tr class="marked"><td>target_kl</td><td class="num">0.05</td>' in text
    assert re.search(r"<tr><td>gamma</td>", text)
    assert text.index("<td>target_kl</td>") < text.index("<td>gamma</td>")


@pytest.mark.parametrize("policy", POLICIES)
def test_networks_are_marked_only_if_they_differ_from_their_policy_defaults(policy, tmp_path):
    marked = '<tr class="marked"><td>policy_kwargs.log_std_init</td>'
    write_run(tmp_path / "a", settings={"policy": policy})
    assert marked not in report(tmp_path)
    write_run(tmp_path / "b", settings={"policy": policy, "policy_kwargs": {"log_std_init": -1}})
    assert marked in report(tmp_path)


def test_settings_are_compared_by_group(seeds):
    write_run(seeds / "other", settings={"target_kl": 0.05})
    reader = Reader(report(seeds))
    assert "target_kl=0.05" in reader.text
    assert "settings compared" in reader.text
    charts = [attrs["data-points"] for attrs in reader.charts()]
    assert any("target_kl=0.05, actual" in points for points in charts)


def test_several_environments_have_a_card_each(seeds):
    write_run(seeds / "other", env_id="Pendulum-v1")
    text = Reader(report(seeds)).text
    assert "CartPole-v1: return over steps" in text
    assert "Pendulum-v1: return over steps" in text
    assert "Return over wall-clock" not in text


def test_evaluations_and_versions_are_tables(seeds):
    text = Reader(report(seeds)).text
    assert "500 \N{PLUS-MINUS SIGN} 1.5" in text
    assert "deterministic" in text
    assert "3.11.2" in text


def test_evaluations_during_training_are_drawn(seeds):
    columns = {"num_timesteps": [1000, 2000], "mean_reward": [10.0, 300.0]}
    write_csv(seeds / "seed0" / "evaluations.csv", columns)
    reader = Reader(report(seeds))
    assert any("seed 0, evaluation" in attrs["data-points"] for attrs in reader.charts())
    assert "Dashed: evaluations during training." in reader.text
    write_csv(seeds / "seed1" / "evaluations.csv", columns)  # several seeds: one average
    (chart, *_) = Reader(report(seeds)).charts()
    (line,) = (each for each in json.loads(chart["data-points"]) if each["style"] == "dashed")
    assert line["name"] == "CartPole-v1, evaluations"
    assert (line["value"][0], line["value"][-1]) == ("10", "300")


# -- unusual runs ---------------------------------------------------------------------------------


@table("left_out", sorted(example_columns(1, 0)))
def test_any_column_may_be_missing(left_out, tmp_path):
    if left_out in {"num_timesteps"}:
        pytest.skip("num_timesteps is required")
    write_run(tmp_path / "run", **{left_out: None})
    Reader(report(tmp_path))


def test_records_with_only_steps_are_reported(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_csv(folder / "progress.csv", {"num_timesteps": [100, 200]})
    assert "No episode has ended yet" in Reader(report(folder)).text


@table("value", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300])
def test_any_number_may_be_in_any_column(value, tmp_path):
    keep = {"num_timesteps", "iteration", "outcome", "rejected", "steps_per_second"}
    columns = {name: np.full(40, value) for name in example_columns(1, 0) if name not in keep}
    write_run(tmp_path / "run", **columns)
    assert not re.search(r'd="[^"]*(nan|inf)', report(tmp_path))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_short_runs_are_reported(n, tmp_path):
    write_run(tmp_path / "run", n=n, total=4000)
    text = Reader(report(tmp_path)).text
    assert f"seed 0 is at {100 * n} of 4,000 steps" in text


def test_a_run_without_records_is_listed_as_left_out(seeds):
    (write_run(seeds / "new", seed=9) / "progress.csv").unlink()
    assert "Left out:" in Reader(report(seeds)).text


def test_texts_from_a_folder_are_escaped(tmp_path):
    evil = "<script>alert(1)</script>\"'&"
    name = "<script>alert(1)<"
    write_evaluation(write_run(tmp_path / name / "a", env_id=evil, settings={"gamma": 0.5}))
    write_run(tmp_path / name / "b", env_id=evil)
    text = report(tmp_path)
    reader = Reader(text)
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert "<script>alert" not in text
    assert f"{name}/a" in reader.text


# -- remarks --------------------------------------------------------------------------------------


def outcomes(**rejected):
    """Columns of 40 records with these numbers of rejections per reason."""
    reasons = [reason.replace("_", " ") for reason, n in rejected.items() for _ in range(n)]
    reasons += [""] * (40 - len(reasons))
    return {"outcome": [int(bool(reason)) for reason in reasons], "rejected": reasons}


REMARKS = {
    "no step": (outcomes(kl=8, improvement=2), "25% of the updates took no step (10 of 40: 8 fo"),
    "KL": (outcomes(kl=8), "warning: 20% of the updates took no step (8 of 40: 8 for KL). A larg"),
    "few": (
        outcomes(improvement=1),
        "note: 2% of the updates took no step (1 of 40: 1 for no imp",
    ),
    "none": ({}, "good: All updates took a step (40)."),
    "old": ({"outcome": [1] * 10 + [0] * 30, "rejected": None}, "25% of the updates took no s"),
    "critic": ({"explained_variance": [0.1] * 40}, "Explained variance stays below 0.2"),
    "good critic": ({"explained_variance": [0.9] * 40}, "explains 90% of the returns' variance"),
    "damped": ({"kl": [0.001] * 40}, "uses only 10% of the trust region"),
    "model": ({"kl_predicted": [0.003] * 40}, "times what the quadratic model predicts"),
    "trials": ({"line_search_steps": [5] * 40}, "The line search needs 5 trials on average"),
    "unsolved": ({"cg_residual": [0.6] * 40}, "residual of 60%"),
    "fit": ({"value_loss": [30.0] * 40}, "In 100% of the iterations the fit made the critic wo"),
    "rising": ({}, "The return is still rising"),
    "flat": ({"return_mean": [9.0] * 40}, "The return never changed"),
    "fell": (
        {"return_mean": [*range(30), *range(30, 10, -2)]},
        "The return fell from its best, 30 at step 3,100, to 12",
    ),
    "rose": ({"return_mean": [*range(20), *[20] * 20]}, "good: The return rose from 0 to 20."),
    "sank": ({"return_mean": [-t * 0.1 - (t < 1) for t in range(40)]}, "The return fell from it"),
    "no episode": ({"return_mean": [np.nan] * 40}, "No episode has ended yet"),
    "narrow": ({"std": [0.001] * 40}, "standard deviation ended at 0.001"),
    "decided": ({"entropy": [0.7] * 30 + [0.001] * 10}, "nearly deterministic"),
    "time": ({"seconds_collect": [0.5] * 40}, "collecting steps"),
    "share": ({"seconds_critic": [0.04] * 40}, "40%, is spent on fitting the critic"),
    "infinite": ({"value_loss": [np.inf] * 40}, "value_loss was infinite"),
}


@table(("columns", "remark"), REMARKS.values(), ids=REMARKS)
def test_remarks_on_a_run(columns, remark, tmp_path):
    write_run(tmp_path / "run", **columns)
    assert remark in remarks_of(tmp_path)


def test_a_straggler_is_named(tmp_path):
    for seed in range(6):
        scale = 0.1 if seed == 4 else 1.0
        write_run(tmp_path / f"seed{seed}", seed=seed, return_mean=scale * np.arange(1, 41))
    assert "seed 4 ended at 4, far below the others (40)" in remarks_of(tmp_path)


def test_failures_and_early_ends_are_reported(tmp_path):
    failed = write_run(tmp_path / "a", seed=1, total=9000)
    (failed / "error.txt").write_text("Traceback ...\nValueError: the wheel <came> off\n")
    write_run(tmp_path / "b", seed=2, total=9000, ended=[""] * 39 + ["max_seconds"])
    text = remarks_of(tmp_path)
    assert "warning: seed 1 failed at step 4,000: ValueError: the wheel <came> off" in text
    assert "seed 2 is at 4,000 of 9,000 steps (44%): ended by max_seconds." in text
    assert "the wheel &lt;came&gt; off" in report(tmp_path)


def test_duplicate_seeds_are_reported(tmp_path):
    write_run(tmp_path / "a", seed=3)
    write_run(tmp_path / "b", seed=3)
    assert "Seed 3 occurs more than once" in remarks_of(tmp_path)
    for name in ("c", "d"):
        write_run(tmp_path / name, seed=4)
    assert "Seeds 3 and 4 occur more than once" in remarks_of(tmp_path)


def test_warnings_come_first(tmp_path):
    write_run(tmp_path / "run", explained_variance=[0.1] * 40, **outcomes(kl=1))
    levels = [part.split(":")[0] for part in remarks_of(tmp_path).split(" | ")]
    assert levels == sorted(levels, key=("warning", "note", "good").index)


# -- number formats -------------------------------------------------------------------------------


def test_numbers_are_formatted_briefly():
    values = (0.0, 1.0, 1234567.0, 0.012345, 251.75, -157.3, 1e-9, float("nan"))
    assert [number(x) for x in values] == (
        ["0", "1", "1,234,567", "0.01235", "251.8", "-157.3", "1e-09", "-"]
    )
    assert [count(x) for x in (5, 999, 30720, 1.5e6, 2e9)] == ["5", "999", "30.7k", "1.5M", "2G"]
    assert [percent(x) for x in (0.0, 0.004, 0.12, 1.0)] == ["0%", "0.4%", "12%", "100%"]
    times = ["0.42 s", "35 s", "12 min", "3 h 20 min"]
    assert [duration(x) for x in (0.42, 35, 720, 12000)] == times
    assert join_words(["a", "b", "c"]) == "a, b and c"


# -- in a browser ---------------------------------------------------------------------------------

FOUND = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
CHROMIUM = next(filter(None, FOUND), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# Measures the visible charts, moves a pointer over one, and stores the results as the title.
PROBE = """<script>{
const shown = [...document.querySelectorAll("svg.chart")].filter((svg) => svg.clientWidth);
const lengths = (svg) => [...svg.querySelectorAll("path.line")].map((p) => p.getTotalLength());
const box = shown[0].getBoundingClientRect();
const at = {clientX: box.left + box.width / 2, clientY: box.top};
shown[0].dispatchEvent(new PointerEvent("pointermove", at));
const tip = document.getElementById("tip").innerText;
const shortest = Math.min(...shown.map((svg) => Math.max(...lengths(svg))));
const widths = [document.body.scrollWidth, innerWidth];
document.title = JSON.stringify([shown.length, shortest, ...widths, tip]);
}</script>"""


def browse(path, *options):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={path.parent / 'profile'}", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@needs_browser
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_draws_the_charts(width, seeds, tmp_path):
    """Each has a curve of some length, nothing is wider than the window, and tooltips work."""
    path = tmp_path / "page.html"
    path.write_text(report(seeds) + PROBE)
    dom = browse(path, f"--window-size={width},900", "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL).group(1)
    charts, shortest, page_width, window, tip = json.loads(unescape(title))
    assert charts >= 14
    assert shortest > 100
    assert page_width <= window
    assert re.match(r"step 1\.\d+k\nCartPole-v1", tip)


# Sends the page's width, and that of the widest part outside of boxes that scroll, to its parent.
WIDTHS = """<script>{
const inside = (box) => [...box.children].filter((e) => !e.classList.contains("scroll"))
  .flatMap((e) => [e.getBoundingClientRect().right, ...inside(e)]);
document.querySelectorAll("details").forEach((e) => (e.open = true));
parent.postMessage([document.documentElement.scrollWidth, Math.max(...inside(document.body))], "*");
}</script>"""
PHONE = """<iframe src="page.html" style="width: 360px; height: 900px"></iframe>
<script>addEventListener("message", (e) => (document.title = JSON.stringify(e.data)))</script>"""


@needs_browser
def test_nothing_is_wider_than_a_phone(seeds, tmp_path):
    """Chromium's windows are at least 500 pixels wide, so the page is in a frame."""
    for seed in range(3):
        settings = {"target_kl": 0.05, "gae_lambda": 0.9, "critic": "ridge"}
        write_evaluation(
            write_run(seeds / f"other{seed}", seed=seed, settings=settings), 400 + seed
        )
    (tmp_path / "page.html").write_text(report(seeds) + WIDTHS)
    (tmp_path / "phone.html").write_text(PHONE)
    dom = browse(tmp_path / "phone.html", "--dump-dom", "--virtual-time-budget=3000")
    page_width, widest = json.loads(re.search(r"<title>(.*?)</title>", dom).group(1))
    assert page_width <= 360
    assert widest <= 360


@needs_browser
def test_a_screenshot_is_not_blank(seeds, tmp_path):
    image = pytest.importorskip("matplotlib.image", reason="no matplotlib to read a PNG")
    path = tmp_path / "page.html"
    path.write_text(report(seeds))
    light = "--blink-settings=preferredColorScheme=1"
    browse(path, "--window-size=1200,900", f"--screenshot={tmp_path / 'page.png'}", light)
    pixels = image.imread(tmp_path / "page.png")[..., :3]
    blue = np.abs(pixels - [0, 0x72 / 255, 0xB2 / 255]).max(axis=-1) < 0.02
    assert blue.sum() > 1000  # the learning curve
