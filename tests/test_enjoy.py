"""`fasttrpo enjoy`: the window, the video, and messages where nothing can be shown."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from helpers import Counter, small_model
from run_folders import write_run
from tables import table

from fasttrpo import cli

LENGTH = 3


class Drawn(Counter):
    """A `Counter` whose images have the brightness of its observation times ten."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    closed = 0

    def __init__(self, render_mode=None, length=LENGTH, fails_at=None):
        super().__init__(length)
        self.render_mode, self.fails_at = render_mode, fails_at

    def render(self):
        return np.full((32, 32, 3), 10 * self.t + 40, np.uint8)

    def step(self, action):
        if self.t == self.fails_at:
            raise KeyboardInterrupt
        return super().step(action)

    def close(self):
        type(self).closed += 1


class Written(Counter):
    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012


class Torn(Drawn):
    def render(self):
        raise OSError("no paint")


IDS = {
    "Drawn-v0": (Drawn, {}),
    "Long-v0": (Drawn, {"length": 5}),
    "Stopped-v0": (Drawn, {"fails_at": 2}),
    "Written-v0": (Written, {}),
    "Bare-v0": (Counter, {}),
    "Torn-v0": (Torn, {}),
}


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    """Runs of all environments in an empty folder of a machine without a display."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    for env_id, (entry_point, keywords) in IDS.items():
        monkeypatch.setitem(gymnasium.registry, env_id, None)
        del gymnasium.registry[env_id]
        gymnasium.register(env_id, entry_point, kwargs=keywords)
    return tmp_path


def write_model(env_id, name="model", **keywords):
    """Writes a run, unless it is there, and a model with these settings; returns its folder."""
    folder = Path("runs", env_id.replace(":", "_"))
    if not folder.exists():
        write_run(folder, n=1, env_id=env_id, settings=keywords)
    made = env_id if env_id in gymnasium.registry else "CartPole-v1"
    model = small_model(made, **keywords)
    model.theta = np.zeros(len(model.theta))  # always takes action 0: CartPole falls at once
    model.save(folder / f"{name}.npz")
    return str(folder)


@pytest.fixture
def frames():
    """A function that returns the brightness of each image of a video."""
    pytest.importorskip("moviepy", reason="no MoviePy: pip install '.[video]'")
    from moviepy.config import FFMPEG_BINARY

    def read(path):
        command = [FFMPEG_BINARY, "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray"]
        done = subprocess.run([*command, "-"], capture_output=True, check=True)
        return np.frombuffer(done.stdout, np.uint8).reshape(-1, 32, 32).mean((1, 2))

    return read


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_video_shows_all_episodes(suffix, frames, capsys, in_a_new_folder):
    run = write_model("Drawn-v0")
    video = in_a_new_folder / f"out{suffix}"
    video.write_text("an older video")
    assert cli.main(["enjoy", run, "--episodes", "2", "--video", video.name]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "episode 1: return 6.00, length 3",
        "episode 2: return 6.00, length 3",
        "Drawn-v0: return 6.00 +- 0.00 over 2 deterministic episodes",
        f"saved {video.name}",
    ]
    assert frames(video) == pytest.approx([40, 50, 60, 70] * 2, abs=4)
    assert {path.name for path in in_a_new_folder.iterdir()} == {"runs", video.name}


def test_ctrl_c_keeps_the_older_video(frames, capsys, in_a_new_folder):
    run = write_model("Stopped-v0")
    (in_a_new_folder / "out.mp4").write_text("an older video")
    closed = Drawn.closed
    assert cli.main(["enjoy", run, "--video", "out.mp4"]) == 130
    assert capsys.readouterr().err == "fasttrpo: interrupted\n"
    assert Drawn.closed > closed
    assert (in_a_new_folder / "out.mp4").read_text() == "an older video"
    assert {path.name for path in in_a_new_folder.iterdir()} == {"runs", "out.mp4"}


def test_a_built_in_environment_is_recorded(capsys, in_a_new_folder):
    """fasttrpo's CartPole has no renderer: Gymnasium's is shown."""
    for module in ("pygame", "moviepy"):
        pytest.importorskip(module, reason=f"no {module}: pip install '.[video]'")
    run = write_model("CartPole-v1")
    outputs = []
    for seed in ("3", "3", "4"):
        command = ["enjoy", run, "--episodes", "2", "--video", "out.mp4", "--seed", seed]
        assert cli.main(command) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.fixture
def pygame():
    return pytest.importorskip("pygame", reason="no pygame: pip install '.[video]'")


class Clock:
    """A clock that never waits, and collects the speeds."""

    speeds: list[int] = []  # noqa: RUF012

    def tick(self, fps):
        self.speeds.append(fps)


def test_a_window_shows_the_episodes(pygame, capsys, monkeypatch):
    monkeypatch.setattr(pygame.time, "Clock", Clock)
    run = write_model("Drawn-v0", env_kwargs={"length": 4})
    assert cli.main(["enjoy", run, "--fps", "500", "--episodes", "4"]) == 0
    assert capsys.readouterr().out.count("return 10.00, length 4") == 4
    assert Clock.speeds[-1] == 500
    assert not pygame.display.get_init()  # the window is closed


def test_closing_the_window_ends_the_command(pygame, capsys, monkeypatch):
    monkeypatch.setattr(pygame.time, "Clock", Clock)
    run = write_model("Long-v0")
    step = Drawn.step

    def click(self, action):
        if self.episode == 2:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        return step(self, action)

    monkeypatch.setattr(Drawn, "step", click)
    assert cli.main(["enjoy", run, "--episodes", "50"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) < 5
    assert out[-1].startswith("Long-v0: return 15.00 +- 0.00 over ")


def test_the_best_model_is_played(pygame, capsys, monkeypatch):
    run = write_model("Drawn-v0", gamma=0.91)
    assert cli.main(["enjoy", run, "--best"]) == 2
    assert "has no best_model.npz: only train --eval-freq keeps one" in capsys.readouterr().err
    write_model("Drawn-v0", "best_model", gamma=0.92)
    played = []

    def play(model, *more):
        played.append(model.settings.gamma)
        return iter(())

    monkeypatch.setattr("fasttrpo.evaluate.play", play)
    assert cli.main(["enjoy", run]) == 0
    assert cli.main(["enjoy", run, "--best"]) == 0
    assert played == [0.91, 0.92]


@table(
    ("run", "options", "message"),
    [
        ("Drawn-v0", ["--episodes", "0"], "--episodes must be an integer >= 1, got 0"),
        ("Drawn-v0", ["--fps", "0"], "--fps must be an integer >= 1, got 0"),
        ("Drawn-v0", ["--video", "out.avi"], "--video must end in .mp4 or .gif, got 'out.avi'"),
        ("Drawn-v0", ["--video", "no/out.mp4"], "--video: there is no folder 'no'"),
        ("Bare-v0", [], "Bare-v0 has no renderer"),
        ("Written-v0", [], "cannot be shown: its render_modes are ['ansi'], without 'human'"),
        ("Written-v0", ["--video", "out.mp4"], "cannot be recorded: its render_modes are ['ansi']"),
        ("Torn-v0", ["--video", "out.mp4"], "Torn-v0 cannot be rendered here"),
        ("Torn-v0", ["--video", "out.mp4"], "(OSError: no paint)"),
        ("sim.so", ["--trust"], "has no renderer: shared libraries have none; `fasttrpo eval`"),
        ("sim.py:walk", ["--trust"], "has no renderer: Numba environments have none"),
        ("other.py:walk", [], "would run code from"),
        ("Drawn-v0", ["Long-v0"], "is a run of Drawn-v0, not Long-v0"),
    ],
)
def test_mistakes_are_one_line(run, options, message, capsys, in_a_new_folder):
    if "out.mp4" in options:
        pytest.importorskip("moviepy", reason="no MoviePy: pip install '.[video]'")
    assert cli.main(["enjoy", write_model(run), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err
    assert not (in_a_new_folder / "out.mp4").exists()


def test_without_a_display_a_video_is_proposed(capsys, monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setattr(sys, "platform", "linux")
    run = write_model("Drawn-v0")
    assert cli.main(["enjoy", run]) == 2
    message = "fasttrpo: there is no display for a window; record a video: --video out.mp4\n"
    assert capsys.readouterr().err == message


def test_a_missing_moviepy_names_the_command(capsys, monkeypatch):
    run = write_model("Drawn-v0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    assert cli.main(["enjoy", run, "--video", "out.mp4"]) == 2
    message = "fasttrpo: --video needs MoviePy: pip install 'fasttrpo[video]'\n"
    assert capsys.readouterr().err == message


def test_a_missing_pygame_names_the_command(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    run = write_model("CartPole-v1")
    assert cli.main(["enjoy", run]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "pygame is not installed" in err
    assert "pip install" in err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Gymnasium's
def test_missing_opengl_says_what_to_install(capsys, monkeypatch):
    """As where MuJoCo's libraries for rendering are missing."""
    for module in ("mujoco", "moviepy"):
        pytest.importorskip(module)
    rendering = pytest.importorskip("gymnasium.envs.mujoco.mujoco_rendering")
    run = write_model("InvertedPendulum-v5")

    def no_context(width, height):
        raise RuntimeError("no OpenGL context")

    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setitem(rendering._ALL_RENDERERS, "egl", no_context)  # noqa: SLF001
    assert cli.main(["enjoy", run, "--video", "out.mp4"]) == 2
    err = capsys.readouterr().err
    assert "install libegl1 or libosmesa6, and set MUJOCO_GL=egl or MUJOCO_GL=osmesa" in err
    assert "no OpenGL context" in err
