"""The progress bar of `learn`."""

from __future__ import annotations

from typing import Any

from fasttrpo.protocols import Record
from fasttrpo.training.callback import BaseCallback


class ProgressBarCallback(BaseCallback):
    """Shows a progress bar over all steps of a run, earlier ones included if `learn` continues it,
    with return, KL and steps/s.

    shown  whether to show it (None: on a terminal only)
    """

    def __init__(self, shown: bool | None = True) -> None:
        super().__init__()
        self._shown = shown
        self._bar: Any = None

    def _on_training_start(self) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(
            total=self.locals["total_timesteps"],
            initial=self.num_timesteps,
            unit="step",
            unit_scale=True,
            dynamic_ncols=True,
            disable=hidden(self._shown),
        )
        self.logger.print = self._bar.write  # prints messages above the bar

    def _on_record(self, record: Record) -> None:
        words = f"return {record['return_mean']:.1f}, KL {record['kl']:.4f}, "
        words += f"{record['steps_per_second']:.0f} steps/s"
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(record["n_samples"])

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Closes the bar; messages are printed normally again."""
        if self._bar is not None:
            self._bar.close()
            self.logger.print = print
            self._bar = None


def hidden(progress_bar: bool | None) -> bool | None:
    """The value of tqdm's `disable`, where None also means: on a terminal only."""
    return None if progress_bar is None else not progress_bar
