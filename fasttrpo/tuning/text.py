"""A search in words: its progress and its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasttrpo.checks.printable import readable
from fasttrpo.report.words import join_words, percent, pluralize
from fasttrpo.tuning.measure import REPORTS
from fasttrpo.tuning.tuning import COMPLETE, FAILED, PRUNED, START, Candidate, Trial, Tuning, Watch


def value_of(value: float) -> str:
    """A return with five significant digits, without an exponent below a million."""
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.5g}"


def start_name(tuning: Tuning) -> str:
    """What the settings of the first trial are."""
    return "the built-in settings" if tuning.is_tuned else "the default settings"


def describe_trial(trial: Trial) -> str:
    """How a trial ended."""
    if trial.state == COMPLETE and trial.value is not None:
        return f"return {value_of(trial.value)}"
    if trial.state == PRUNED:
        part = max(trial.curve)
        return f"pruned at {percent(part / REPORTS)} with return {value_of(trial.curve[part])}"
    return f"failed: {trial.error}"


def describe_choice(tuning: Tuning) -> str:
    """Which settings won, and by how much."""
    best, others = tuning.best, [each for each in tuning.finalists if each is not tuning.best]
    name = start_name(tuning) if best.trial.number == START else f"trial {best.trial.number}"
    if not best.returns:
        return f"best: {name}: return {value_of(best.mean)}"
    words = f"best: {name}: return {_measured(best)}"
    for other in others:
        is_start = other.trial.number == START
        against = start_name(tuning) if is_start else f"trial {other.trial.number}"
        words += f"; {against}: {_measured(other)}"
    reason = "" if not (others and best.trial.number == START) else _why_start(tuning, others[0])
    seeds = pluralize(len(best.returns), "new seed")
    return f"{words} (mean and standard error over {seeds}){reason}"


def _why_start(tuning: Tuning, other: Candidate) -> str:
    """Why the start is kept, if the other finalist's mean is higher."""
    is_higher = other.mean > tuning.best.mean
    return "; not clearly better" if is_higher else ""


def _measured(candidate: Candidate) -> str:
    if candidate.mean == float("-inf"):
        return "a training failed"
    return f"{value_of(candidate.mean)} +- {value_of(candidate.error)}"


class Progress(Watch):
    """Counts what has happened."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.total = self.n_compared = self.n_comparisons = 0
        self.compares = False

    def searching(self, kept: Sequence[Trial], total: int) -> None:
        """Adds the trials of earlier calls."""
        self.trials, self.total = [*kept], max(total, len(kept))

    def tried(self, trial: Trial) -> None:
        """Adds a trial."""
        self.trials.append(trial)

    def comparing(self, numbers: Sequence[int], total: int) -> None:
        """The search is over."""
        self.compares, self.n_compared, self.n_comparisons = True, 0, total

    def compared(self, trial: Trial, value: float | None, error: str) -> None:
        """Counts a training."""
        self.n_compared += 1

    def close(self) -> None:
        """Ends the display."""

    def best(self) -> str:
        """The best trial, in words; "" if there is none."""
        complete = [trial for trial in self.trials if trial.value is not None]
        found = max(complete, key=lambda trial: trial.value or 0.0, default=None)
        return (
            "" if found is None else f"best {value_of(found.value or 0.0)} (trial {found.number})"
        )

    def state(self) -> str:
        """How far the search has come."""
        if self.compares:
            words = f"during the comparison, after {pluralize(len(self.trials), 'trial')}"
        else:
            words = f"after {len(self.trials)} of {pluralize(self.total, 'trial')}"
        return ", ".join(filter(None, [words, self.best()]))


class Lines(Progress):
    """A line for each trial and each training, for logs."""

    def searching(self, kept: Sequence[Trial], total: int) -> None:
        """Says how many trials there are already."""
        super().searching(kept, total)
        if kept:
            self._say(f"continuing after {pluralize(len(kept), 'trial')}: {self.best()}")

    def tried(self, trial: Trial) -> None:
        """Prints the trial and the best so far."""
        super().tried(trial)
        what = f"trial {trial.number}: {describe_trial(trial)}"
        self._say(f"{len(self.trials)}/{self.total} {what}; {self.best() or 'none complete yet'}")

    def comparing(self, numbers: Sequence[int], total: int) -> None:
        """Says what is compared."""
        super().comparing(numbers, total)
        if total:
            names = join_words([*map(str, numbers)])
            self._say(f"training the settings of trials {names} again: {pluralize(total, 'run')}")

    def compared(self, trial: Trial, value: float | None, error: str) -> None:
        """Prints the training's return."""
        super().compared(trial, value, error)
        what = f"return {value_of(value)}" if value is not None else f"failed: {error}"
        done = f"{self.n_compared}/{self.n_comparisons}"
        self._say(f"{done} settings of trial {trial.number}: {what}")

    def _say(self, text: str) -> None:
        print(readable(text), flush=True)


class Bars(Progress):
    """A bar for the trials, then one for the comparison."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None

    def searching(self, kept: Sequence[Trial], total: int) -> None:
        """Shows the bar of trials."""
        super().searching(kept, total)
        self._open("trials", "trial", self.total, len(kept))
        self._show()

    def tried(self, trial: Trial) -> None:
        """Advances the bar; prints failures above it."""
        super().tried(trial)
        if trial.state == FAILED:
            self._bar.write(readable(f"trial {trial.number}: {describe_trial(trial)}"))
        self._show()
        self._bar.update()

    def comparing(self, numbers: Sequence[int], total: int) -> None:
        """Shows the bar of the comparison."""
        super().comparing(numbers, total)
        if total:
            self._open(f"comparing {join_words([*map(str, numbers)])}", "run", total, 0)

    def compared(self, trial: Trial, value: float | None, error: str) -> None:
        """Advances the bar; prints failures above it."""
        super().compared(trial, value, error)
        if value is None:
            self._bar.write(readable(f"settings of trial {trial.number}: failed: {error}"))
        self._bar.update()

    def close(self) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()

    def _open(self, title: str, unit: str, total: int, done: int) -> None:
        from tqdm.auto import tqdm

        self.close()
        self._bar = tqdm(total=total, initial=done, desc=title, unit=unit, dynamic_ncols=True)

    def _show(self) -> None:
        states = [trial.state for trial in self.trials]
        ended = [f"{states.count(s)} {s}" for s in (PRUNED, FAILED) if s in states]
        self._bar.set_postfix_str(", ".join(filter(None, [self.best(), *ended])), refresh=False)
