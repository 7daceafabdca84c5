"""Gymnasium's environments with a renderer: in a window, or recorded as a video."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import is_file
from fasttrpo.envs.names import is_in_source
from fasttrpo.errors import UserError, UserImportError

WINDOW, VIDEO = "human", "rgb_array"
# A video's suffix -> ffmpeg's options that join clips of H.264 to it.
_JOIN = {
    ".mp4": ("-c", "copy"),
    ".gif": ("-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse"),
}
_DISPLAYS = "DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"
_INVISIBLE = "offscreen", "dummy"  # SDL's drivers without a window
# What MuJoCo can render with where there is no display: {MUJOCO_GL: the library}.
_OFF_SCREEN = {"egl": "EGL", "osmesa": "OSMesa"}
# Parts of the names of files in which renderers fail when they are imported.
_RENDERERS = "OpenGL", "gl_context"
_TO_INSTALL = "install libegl1 or libosmesa6, and set MUJOCO_GL=egl or MUJOCO_GL=osmesa"


def make(env_id: str, mode: str, keywords: dict[str, Any]) -> Any:
    """Gymnasium's environment of this id, reset and rendered once.

    Raises UserError if it has no renderer for `mode`, or if that does not work here.
    """
    import gymnasium

    if is_file(env_id):
        kind = "Numba environments" if is_in_source(env_id) else "shared libraries"
        raise UsageError(f"{env_id} has no renderer: {kind} have none; `fasttrpo eval` plays it")
    with _in_one_line(env_id, mode):
        if mode == VIDEO and not has_display():
            _render_off_screen()
        _check_modes(env_id, mode, keywords)
        with warnings.catch_warnings():
            # Gymnasium opens a window for images; that is fine here.
            warnings.filterwarnings("ignore", ".*doesn't natively support it")
            env = gymnasium.make(env_id, **keywords | {"render_mode": mode})
        try:
            env.reset()
            env.render()
            if mode == WINDOW:
                _check_pygame()
        except BaseException:
            env.close()
            raise
    return env


def has_display() -> bool:
    """Whether windows can be opened, as far as Linux's variables tell."""
    return not sys.platform.startswith("linux") or any(map(os.environ.get, _DISPLAYS))


def check_display() -> None:
    """Raises UserError if there is no display."""
    if not has_display():
        raise _no_display()


def _no_display() -> UsageError:
    return UsageError("there is no display for a window; record a video: --video out.mp4")


def _check_glfw() -> None:
    """Raises UserError if MuJoCo cannot open a window, where its library would abort."""
    import glfw

    with warnings.catch_warnings(action="ignore"):
        if not glfw.init():
            raise _no_display()


def _check_pygame() -> None:
    """Raises UserError if pygame could not open the display and draws into memory instead."""
    pygame = sys.modules.get("pygame")
    if pygame is None or not pygame.display.get_init() or os.environ.get("SDL_VIDEODRIVER"):
        return
    if pygame.display.get_driver() in _INVISIBLE:
        raise _no_display()


def _check_modes(env_id: str, mode: str, keywords: dict[str, Any]) -> None:
    """Raises UserError if the environment's metadata does not list `mode`."""
    from fasttrpo.stream.make import as_vector_env

    with closing(as_vector_env(env_id, 1, "gymnasium", env_kwargs=keywords)) as made:
        singles = getattr(made, "envs", None)  # None: it exists only as a vector environment
        modes = [*((singles[0].metadata.get("render_modes") or ()) if singles else ())]
        if mode == WINDOW and singles and hasattr(singles[0].unwrapped, "mujoco_renderer"):
            _check_glfw()
    # Gymnasium shows the images of environments that cannot open a window themselves.
    if mode in modes or VIDEO in modes:
        return
    if not modes:
        raise UsageError(f"{env_id} has no renderer; `fasttrpo eval` plays it without one")
    what = "recorded" if mode == VIDEO else "shown"
    raise UsageError(f"{env_id} cannot be {what}: its render_modes are {modes}, without {mode!r}")


def _render_off_screen() -> None:
    """Makes pygame, and MuJoCo by EGL or else OSMesa, render without a display, unless the user has
    chosen something else.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    for name, library in _OFF_SCREEN.items():
        if ctypes.util.find_library(library):
            os.environ.setdefault("MUJOCO_GL", name)


@contextmanager
def _in_one_line(env_id: str, mode: str) -> Iterator[None]:
    """Turns failures of renderers into UserError; the environment's own errors pass."""
    from gymnasium.error import DependencyNotInstalled

    try:
        yield
    except UserError:
        raise
    except (ImportError, DependencyNotInstalled) as error:
        raise UserImportError(f"{env_id} cannot be rendered: {error}") from error
    except Exception as error:
        if not _is_in_renderer(error):
            raise
        words = f"{type(error).__name__}: {error}"
        raise UserError(f"{env_id} cannot be rendered here{_remedy(mode)} ({words})") from error


def _is_in_renderer(error: Exception) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return any(
        frame.name == "render" or any(word in frame.filename for word in _RENDERERS)
        for frame in frames
    )


def _remedy(mode: str) -> str:
    if mode == WINDOW:
        return "; record a video instead: --video out.mp4"
    # A module that cannot be imported leaves only its parts behind.
    needs = f"; MuJoCo needs OpenGL: {_TO_INSTALL}"
    return needs if any(name.startswith("mujoco") for name in sys.modules) else ""


def set_fps(env: Any, fps: int) -> None:
    """Sets the speed of an environment's window, which the environment or a wrapper draws."""
    env.metadata = {**env.metadata, "render_fps": fps}
    if env is not env.unwrapped:
        set_fps(env.env, fps)


# -- videos ---------------------------------------------------------------------------------------


def check_video(path: Path) -> None:
    """Raises UserError if the video cannot be recorded or written."""
    if path.suffix.lower() not in _JOIN:
        raise UsageError(f"--video must end in {' or '.join(_JOIN)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise UsageError(f"--video: there is no folder {str(path.parent)!r}")
    if path.exists() and not path.is_file():
        raise UsageError(f"--video: {str(path)!r} is not a file")
    if importlib.util.find_spec("moviepy") is None:
        raise UserImportError("--video needs MoviePy: pip install 'fasttrpo[video]'")


@contextmanager
def recorded(env: Any, path: Path, n_episodes: int, fps: int | None) -> Iterator[Any]:
    """The environment to play; at the end of the block, its episodes become the video.

    Gymnasium's recorder keeps the images of an episode in memory until it ends. An existing file is
    replaced once the video is complete; after an error or Ctrl-C it is unchanged.
    """
    from gymnasium.wrappers import RecordVideo

    from fasttrpo.files.atomic import replacing, saving

    with TemporaryDirectory(prefix="fasttrpo-") as folder:
        clips = Path(folder, "clips")
        recorder = RecordVideo(env, str(clips), lambda i: i < n_episodes, fps=fps)
        try:
            yield recorder
        except BaseException:
            recorder.recorded_frames.clear()
            raise
        with saving(path):
            recorder.close()
        names = [f"rl-video-episode-{i}.mp4" for i in range(n_episodes)]
        with replacing(path, follow=True) as file:
            file.write(_joined(clips, names, path.suffix.lower()).read_bytes())


def _joined(folder: Path, names: list[str], suffix: str) -> Path:
    """One file with all clips."""
    from moviepy.config import FFMPEG_BINARY

    (folder / "clips.txt").write_text("".join(f"file '{name}'\n" for name in names))
    command = [FFMPEG_BINARY, "-v", "error", "-f", "concat", "-i", "clips.txt", *_JOIN[suffix]]
    subprocess.run([*command, f"video{suffix}"], cwd=folder, check=True)
    return folder / f"video{suffix}"
