"""`fasttrpo plot`: the contents of the picture, and messages where nothing can be drawn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from run_folders import write_run
from tables import table

from fasttrpo import cli
from fasttrpo.report.groups import group_runs
from fasttrpo.report.plot import plot
from fasttrpo.report.runs import load

PNG = b"\x89PNG"
CURVES = "target_kl=0.02; target_kl=0.01"


@pytest.fixture
def seeds(tmp_path):
    """Three seeds of one setting and two of another."""
    for seed in range(3):
        write_run(tmp_path / "runs" / f"seed{seed}", seed=seed)
    for seed in range(2):
        settings = {"target_kl": 0.02}
        write_run(tmp_path / "runs" / f"large{seed}", seed=seed, settings=settings)
    return tmp_path / "runs"


@pytest.fixture
def drawn(monkeypatch):
    """Collects the saved figures, so that tests can inspect them."""
    figure = pytest.importorskip("matplotlib.figure", reason="no matplotlib").Figure
    saved, save = [], figure.savefig
    monkeypatch.setattr(
        figure, "savefig", lambda self, *a, **k: (saved.append(self), save(self, *a, **k))
    )
    return saved


def test_a_png_is_written_and_its_path_printed(seeds, drawn, capsys):
    assert cli.main(["plot", str(seeds)]) == 0
    assert capsys.readouterr().out == f"saved {seeds / 'plot.png'}\n"
    assert (seeds / "plot.png").read_bytes().startswith(PNG)
    assert cli.main(["plot", str(seeds), "--out", "other.png", "--x", "seconds", "--y", "kl"]) == 0
    ax = drawn[-1].axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seconds", "KL divergence")


def test_groups_show_labels_bands_and_seeds(seeds, drawn, tmp_path):
    plot(group_runs(load([seeds])[0]), tmp_path / "a.png")
    (ax,) = drawn[0].axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["target_kl=0.02 (2 seeds)", "target_kl=0.01 (3 seeds)"]
    assert len(ax.collections) == 2  # bands
    assert len(ax.lines) == 2 * 2 + 5  # interquartile mean and mean, and each seed
    bold = [line for line in ax.lines if line.get_linewidth() == 2]
    assert len({line.get_color() for line in bold}) == 2
    assert bold[1].get_ydata()[[0, -1]] == pytest.approx([6.0, 201.0])
    assert bold[1].get_xdata()[[0, -1]] == pytest.approx([100.0, 4000.0])


@table(("name", "start"), [("a.png", PNG), ("a.pdf", b"%PDF"), ("a.SVG", b"<?xml"), ("a", PNG)])
def test_the_ending_is_the_format(name, start, seeds, drawn, tmp_path):
    """The same runs give the same bytes."""
    for copy in ("1", "2"):
        assert cli.main(["plot", str(seeds), "--out", str(tmp_path / f"{copy}{name}")]) == 0
    written = (tmp_path / f"1{name}").read_bytes()
    assert written.startswith(start)
    if start == b"%PDF":
        assert written == (tmp_path / f"2{name}").read_bytes()


@table(
    ("options", "labels"),
    [
        (["--labels", "large, small"], ["large (2 seeds)", "small (3 seeds)"]),
        (["--labels", "a,b", "--labels", "c"], ["a,b (2 seeds)", "c (3 seeds)"]),
    ],
)
def test_curves_get_labels_a_title_and_a_target(options, labels, seeds, drawn):
    options += ["--title", "Two $regions$", "--target", "150", "--out", "a.png"]
    assert cli.main(["plot", str(seeds), *options]) == 0
    (ax,) = drawn[-1].axes
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == [*labels, "target 150"]
    assert drawn[-1].get_suptitle() == r"Two \$regions\$"
    assert any(set(line.get_ydata()) == {150.0} for line in ax.lines)
    assert ax.get_yscale() == "linear"


@table(("scale", "target"), [("log", "20000"), ("symlog", "-10")])
def test_a_far_target_makes_the_axis_logarithmic(scale, target, drawn, tmp_path):
    sign = 1 if scale == "log" else -1
    values = sign * np.geomspace(4000, 30, 40)
    folder = write_run(tmp_path / "run", return_mean=values if sign < 0 else values[::-1])
    assert cli.main(["plot", str(folder), "--target", target]) == 0
    ax = drawn[-1].axes[0]
    low, high = ax.get_ylim()
    assert ax.get_yscale() == scale
    assert low < values.min() < values.max() < high
    assert low * high > 0  # zero is infinitely far


def test_environments_share_labels_and_have_their_own_targets(seeds, drawn, capsys):
    for seed, target_kl in enumerate((0.02, 0.01)):
        settings = {"target_kl": target_kl}
        write_run(seeds / f"other{seed}", seed=seed, env_id="Other-v0", settings=settings)
    options = ["--labels", "large,small", "--out", "a.png"]
    assert cli.main(["plot", str(seeds), *options, "--target", "Other-v0=9"]) == 0
    texts = [[t.get_text() for t in ax.get_legend().get_texts()] for ax in drawn[-1].axes]
    assert texts[0] == ["large (2 seeds)", "small (3 seeds)"]
    assert texts[1] == ["large (1 seed)", "small (1 seed)", "target 9"]
    assert cli.main(["plot", str(seeds), "--target", "9"]) == 2
    assert "several environments; write CartPole-v1=9" in capsys.readouterr().err


@pytest.mark.parametrize(("n", "text"), [(3, "band: the seeds' range"), (5, "band: 95% of 2,000")])
def test_the_caption_explains_the_band(n, text, drawn, tmp_path):
    for seed in range(n):
        write_run(tmp_path / f"seed{seed}", seed=seed)
    plot(group_runs(load([tmp_path])[0]), tmp_path / "a.png")
    assert text in drawn[0].get_supxlabel()
    assert ("bootstrap" in drawn[0].get_supxlabel()) == (n == 5)


def test_each_environment_has_its_own_panel(seeds, drawn, tmp_path):
    for i in range(4):
        write_run(seeds / f"other{i}", env_id=f"Other{i}-v0")
    plot(group_runs(load([seeds])[0]), tmp_path / "a.png")
    titles = [ax.get_title(loc="left") for ax in drawn[0].axes]
    assert titles == ["CartPole-v1", "Other0-v0", "Other1-v0", "Other2-v0", "Other3-v0", ""]


def test_the_picture_is_not_blank(seeds, drawn, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    plot(group_runs(load([seeds])[0]), tmp_path / "a.png")
    pixels = image.imread(tmp_path / "a.png")[..., :3]
    blue = np.abs(pixels - [0, 0x72 / 255, 0xB2 / 255]).max(axis=-1) < 0.02
    assert blue.sum() > 100


@pytest.mark.parametrize("name", ["a $x_1^$ b", "<script>", "100%"])
def test_any_environment_id_is_drawn_literally(name, drawn, tmp_path):
    write_run(tmp_path / "run", env_id=name)
    plot(group_runs(load([tmp_path / "run"])[0]), tmp_path / "a.png")
    assert drawn[0].axes[0].get_title(loc="left").replace("\\", "") == name


def test_a_single_record_is_drawn(drawn, tmp_path):
    write_run(tmp_path / "run", n=1)
    plot(group_runs(load([tmp_path / "run"])[0]), tmp_path / "a.png")
    assert drawn[0].axes[0].lines[0].get_marker() == "o"


def test_runs_left_out_are_reported(seeds, drawn, capsys):
    empty = write_run(seeds / "starting", seed=9)
    (empty / "progress.csv").unlink()
    assert cli.main(["plot", str(seeds)]) == 0
    assert "left out: " in capsys.readouterr().err


# -- errors ---------------------------------------------------------------------------------------


@table(
    ("more", "message"),
    [
        (["--y", "return_meen"], "unknown column 'return_meen'; did you mean 'return_mean'?"),
        (["--x", "second"], "unknown axis 'second'; did you mean 'seconds'?"),
        (["--out", "nowhere/a.png"], "--out: there is no folder 'nowhere'"),
        (["--out", "a.gif"], "--out must end in .png, .pdf or .svg, got 'a.gif'"),
        (["--labels", "a,b,c"], f"--labels has 3 labels for 2 curves: {CURVES}"),
        (["--labels", "a"], f"--labels has 1 label for 2 curves: {CURVES}"),
        (["--target", "high"], "--target must be a number or ENV_ID=NUMBER, got 'high'"),
        (["--target", "inf"], "--target must be a number or ENV_ID=NUMBER, got 'inf'"),
        (
            ["--target", "CartPole-v0=475"],
            "--target: unknown environment 'CartPole-v0'; did you mean 'CartPole-v1'?",
        ),
        (["--y", "std"], "no run has a finite value of std yet"),
    ],
)
def test_wrong_arguments_are_one_line(more, message, seeds, capsys):
    if "std" in more:
        pytest.importorskip("matplotlib")
    assert cli.main(["plot", str(seeds), *more]) == 2
    assert capsys.readouterr().err == f"fasttrpo: {message}\n"
    assert not (seeds / "plot.png").exists()


@table("command", ["plot", "report"])
@table(
    ("prepare", "message"),
    [
        (lambda folder: None, "there is no run 'run'"),
        (lambda folder: folder.touch(), "'run' is a file"),
        (lambda folder: folder.mkdir(), "'run' is not a run"),
        (lambda folder: (write_run(folder) / "progress.csv").unlink(), "run has no record yet"),
    ],
    ids=["no folder", "a file", "no run", "no record"],
)
def test_missing_runs_are_reported_in_one_line(command, prepare, message, tmp_path, capsys):
    prepare(tmp_path / "run")
    assert cli.main([command, "run"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fasttrpo: {message}")
    assert len(err.splitlines()) == 1


def test_without_matplotlib_the_error_says_how_to_install_it(seeds, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["plot", str(seeds)]) == 2
    err = capsys.readouterr().err
    assert err.endswith("matplotlib: pip install 'fasttrpo[plot]'\n")
    assert not (seeds / "plot.png").exists()


def test_long_titles_and_labels_stay_within_the_picture(seeds, drawn, tmp_path):
    label, title = "a long label " * 15, "a long title " * 15
    arguments = ["--labels", label, "--labels", "x" * 150, "--title", title]
    assert cli.main(["plot", str(seeds), "--out", str(tmp_path / "a.png"), *arguments]) == 0
    figure = drawn[-1]
    (ax,) = figure.axes
    (above,) = (text for text in figure.texts if text.get_text().startswith("a long"))
    for box in (above.get_window_extent(), ax.get_legend().get_window_extent()):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
