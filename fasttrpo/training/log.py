"""When a run's values are written to its log: after an iteration, or on demand."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from fasttrpo.checks.values import integer
from fasttrpo.errors import UserRuntimeError
from fasttrpo.logs.logger import log_record
from fasttrpo.protocols import Record

if TYPE_CHECKING:
    from fasttrpo.training.trainer import Trainer


def write_record(trainer: Trainer, record: Record, iteration: int = 0) -> None:
    """Writes a record, with what callbacks recorded.

    iteration  written as time/iterations if above 0
    """
    logger, trainer.unlogged = trainer.logger, None
    if not logger.has_writers:  # saves a tenth of the time of a short iteration
        logger.dump()
        return
    log_record(logger, record)
    if iteration:
        logger.put("time/iterations", iteration)
    elapsed = perf_counter() - trainer.started
    fps = int((trainer.num_timesteps - trainer.first_step) / max(elapsed, 1e-9))
    logger.put("time/fps", fps)
    logger.put("time/time_elapsed", int(elapsed))
    logger.dump(trainer.num_timesteps)


def dump_logs(trainer: Trainer, iteration: int = 0) -> None:
    """Writes the latest values at any moment, also during a rollout: of the episodes, and of the
    last update unless the log has shown it.

    Raises RuntimeError if the log is one that an earlier `learn` made and closed.
    """
    is_open = trainer.is_learning or trainer.has_own_logger or trainer.logger.dir is None
    if not is_open:
        raise UserRuntimeError(
            "dump_logs: learn made this log and closed it; call dump_logs during learn, or set a "
            "log of your own first: model.set_logger(fasttrpo.configure(folder, ...))"
        )
    latest = {**(trainer.unlogged or {}), **trainer.latest_statistics.record()}
    latest["num_timesteps"] = trainer.num_timesteps
    write_record(trainer, latest, integer(0)("iteration", iteration))
