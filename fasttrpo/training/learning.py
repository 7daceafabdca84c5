"""One call of `TRPO.learn`: iterations with callbacks and the log, until the target is reached."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from fasttrpo.checks.values import count as count_of
from fasttrpo.checks.values import integer, optional, real
from fasttrpo.errors import UserRuntimeError, UserTypeError
from fasttrpo.logs import logger as logs
from fasttrpo.logs.description import description
from fasttrpo.protocols import Record
from fasttrpo.stream.identity import identity
from fasttrpo.training.callback import weaken_parents
from fasttrpo.training.combined import CallbackList, as_callback
from fasttrpo.training.log import write_record
from fasttrpo.training.progress_bar import ProgressBarCallback
from fasttrpo.training.trainer import Trainer
from fasttrpo.training.watch import Stopped

if TYPE_CHECKING:
    from fasttrpo.protocols import CallbackLike

_seconds = optional(real("a number > 0", lambda x: x > 0))


class Learning:
    """One call of `TRPO.learn`, which documents the arguments.

    model  the `TRPO` that callbacks see
    """

    def __init__(
        self,
        trainer: Trainer,
        model: Any,
        total_timesteps: float,
        callback: CallbackLike,
        log_interval: int | None,
        tb_log_name: str,
        reset_num_timesteps: bool,
        progress_bar: bool | None,
        max_seconds: float | None,
    ) -> None:
        if trainer.stream is None:
            raise UserRuntimeError(
                "the model has no environment to learn in; call set_env(env) first"
            )
        if not isinstance(tb_log_name, str):
            raise UserTypeError(f"tb_log_name must be a name, got {tb_log_name!r}")
        self.trainer, self.model = trainer, model
        self.callback = as_callback(callback)
        weaken_parents(self.callback)
        self.bar = None if progress_bar is False else ProgressBarCallback(progress_bar)
        self.log_interval = optional(integer(1))("log_interval", log_interval)
        self.max_seconds = _seconds("max_seconds", max_seconds)
        self.name, self.continues = tb_log_name, not reset_num_timesteps
        self.total = count_of(1)("total_timesteps", total_timesteps)

    def run(self) -> None:
        """Learns until enough steps or seconds have passed, or a callback stops it."""
        if self.trainer.is_learning:
            raise UserRuntimeError("the model is already learning: a callback cannot call learn")
        self.trainer.is_learning = True
        try:
            self._run()
        finally:
            self.trainer.is_learning = False

    def _run(self) -> None:
        self._prepare()
        locals_ = self._locals()
        watcher = CallbackList([self.bar, self.callback] if self.bar else [self.callback])
        try:
            watcher.init_callback(self.model)
            watcher.on_training_start(locals_, globals())
            self._iterate(watcher)
            watcher.on_training_end()
            if self._described is not None and self._ended:
                self._described.describe_end(self._ended)
            if self._made_logger is not None and self.log_interval is not None:
                self._made_logger.dump(self.trainer.num_timesteps)  # the latest values
        except BaseException as error:
            watcher.on_exception(error)
            raise
        finally:
            locals_.pop("callback", None)  # a cycle would keep it and the model alive
            if self.bar is not None:
                self.bar.close()
            if self._made_logger is not None:  # a callback may have set another one
                self._made_logger.close()

    def _prepare(self) -> None:
        """Prepares counts, environments and the log."""
        trainer = self.trainer
        if not self.continues:
            trainer.num_timesteps = 0
            trainer.interrupt()
        trainer.started, trainer.first_step = perf_counter(), trainer.num_timesteps
        trainer.unlogged = None
        self.target = trainer.num_timesteps + self.total
        self._made_logger: logs.Logger | None = None
        self._described: logs.Logger | None = None
        self._ended = ""
        if not trainer.has_own_logger:
            settings, resumed = trainer.settings, trainer.num_timesteps if self.continues else None
            self._made_logger = trainer.logger = logs.for_learning(
                settings.verbose, settings.tensorboard_log, self.name, resumed
            )

    def _locals(self) -> dict[str, Any]:
        """The local variables that SB3's loop has at its start."""
        return {
            "self": self.model,
            "env": self.model.get_env(),
            "callback": self.callback,
            "total_timesteps": self.target,
            "log_interval": self.log_interval,
            "tb_log_name": self.name,
        }

    def _iterate(self, watcher: CallbackList) -> None:
        trainer, iterations = self.trainer, 0
        while trainer.num_timesteps < self.target:
            trainer.remaining = 1 - trainer.num_timesteps / self.target
            self._describe(trainer)
            try:
                record = trainer.iterate(watcher)
            except Stopped:
                self._ended = "callback"
                return
            iterations += 1
            record["ended"] = self._ended_by()
            self._log(record, iterations)
            if not watcher.on_record(record):
                record["ended"] = "callback"
            if record["ended"]:
                self._ended = record["ended"]
                return

    def _ended_by(self) -> str:
        """The reason to end early, or ""."""
        late = self.max_seconds is not None and self._elapsed() >= self.max_seconds
        return "max_seconds" if late else ""

    def _describe(self, trainer: Trainer) -> None:
        """Describes this call to the logger, and to another one if a callback sets it."""
        if trainer.logger is self._described or not trainer.logger.has_progress:
            return
        self._described = trainer.logger
        assert trainer.stream is not None  # checked above
        named = identity(trainer.stream.env, trainer.env_name)
        run = description(*named, self.target, trainer.settings)
        trainer.logger.describe(run, trainer.first_step)

    def _elapsed(self) -> float:
        return perf_counter() - self.trainer.started

    def _log(self, record: Record, iterations: int) -> None:
        """Logs the record, and adds to it what callbacks recorded."""
        recorded = self.trainer.logger.take_recorded()
        if self.log_interval is not None and iterations % self.log_interval == 0:
            write_record(self.trainer, record)
        else:
            self.trainer.unlogged = dict(record)
        record |= recorded
