"""`fasttrpo enjoy RUN`: shows a trained policy in a window, or records a video of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fasttrpo.cli import eval as evaluation
from fasttrpo.cli import rendering
from fasttrpo.cli.arguments import Parser, check_count
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import is_run
from fasttrpo.cli.signals import as_keyboard_interrupt
from fasttrpo.files.run_folder import BEST, MODEL

ENJOY_EPISODES = 3


class WindowClosedError(Exception):
    """The user closed the window."""


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = "show a trained policy in a window, or record a video of it"
    enjoy: Parser = commands.add_parser("enjoy", description=what, allow_abbrev=False)
    enjoy.set_defaults(run=run)
    evaluation.add_played(enjoy, ENJOY_EPISODES)
    what = f"play {BEST}, which train keeps with --eval-freq (default: {MODEL})"
    enjoy.add("Run", "--best", action="store_true", help=what)
    what = "record a video, FILE.mp4 or FILE.gif, instead of opening a window; replaces the file"
    enjoy.add("Output", "--video", type=Path, metavar="FILE", help=what)
    what = "images per second (default: the environment's own)"
    enjoy.add("Output", "--fps", type=int, metavar="N", help=what)
    return enjoy


def run(args: argparse.Namespace) -> int:
    """Plays the episodes; prints each one's return, then the mean."""
    _check(args)
    env_id, model = evaluation.load(args, BEST if args.best else MODEL)
    mode = rendering.VIDEO if args.video else rendering.WINDOW
    with (
        as_keyboard_interrupt(),
        closing(rendering.make(env_id, mode, model.settings.env_kwargs or {})) as env,
        _output(env, args) as shown,
    ):
        played = list(_play(model, shown, args))
    if played:
        result = evaluation.summary(model, played, args.seed, not args.stochastic)
        print(evaluation.describe(env_id, result))
    if args.video:
        print(f"saved {args.video}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises UserError for wrong options."""
    check_count("--episodes", args.episodes)
    check_count("--seed", args.seed, low=0)
    if args.fps is not None:
        check_count("--fps", args.fps)
    if args.best and is_run(args.folder) and not (args.folder / BEST).exists():
        raise UsageError(f"{args.folder} has no {BEST}: only train --eval-freq keeps one")
    if args.video:
        rendering.check_video(args.video)
    else:
        rendering.check_display()


@contextmanager
def _output(env: Any, args: argparse.Namespace) -> Iterator[Any]:
    """The environment to play, which shows itself or is recorded."""
    if args.video:
        with rendering.recorded(env, args.video, args.episodes, args.fps) as recorder:
            yield recorder
        return
    if args.fps is not None:
        rendering.set_fps(env, args.fps)
    yield env


def _play(model: Any, env: Any, args: argparse.Namespace) -> Iterator[Any]:
    """Prints and yields the episodes, until the last one or until the window is closed."""
    from fasttrpo.evaluate import play

    watch = None if args.video else _stop_when_closed
    mode = not args.stochastic
    try:
        episodes = play(model, env, args.episodes, mode, args.seed, watch)
        for number, episode in enumerate(episodes, 1):
            print(
                f"episode {number}: return {episode.total:.2f}, length {episode.length}", flush=True
            )
            yield episode
    except WindowClosedError:
        return


def _stop_when_closed(*of_step: Any) -> None:
    """Raises WindowClosedError if the user has closed the window (pygame's; MuJoCo has its own)."""
    pygame = sys.modules.get("pygame")
    if pygame is not None and pygame.display.get_init() and pygame.event.peek(pygame.QUIT):
        raise WindowClosedError
