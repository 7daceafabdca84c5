"""What cannot be done to a model in the midst of an iteration, by a callback or another thread.

`model._amid` says where it is: ROLLOUT as rows are collected, UPDATE as the rollout is made ready
and from the full rollout until the update is made, None before and after.
"""

from __future__ import annotations

from typing import Any

from fasttrpo.errors import UserRuntimeError

ROLLOUT, UPDATE = "a rollout", "an update"


def refuse_environment(model: Any, call: str) -> None:
    """RuntimeError as rows are collected: those to come would not follow those that there are."""
    if model._amid == ROLLOUT:
        raise UserRuntimeError(
            f"{call} in the midst of a rollout: call it in _on_rollout_start, _on_rollout_end or "
            "_on_record, or when learn has returned"
        )


def refuse_policy(model: Any, call: str) -> None:
    """RuntimeError until the update is made: a rollout belongs to the policy that collected it."""
    if model._amid:
        raise UserRuntimeError(
            f"{call} in the midst of {model._amid}, which belongs to the policy as it is: call it "
            "in _on_rollout_start or _on_record, or when learn has returned"
        )
