"""What an environment is called, for logs and reports."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from fasttrpo.stream.make import user_env


class Identity(NamedTuple):
    """name      the environment's id, path or class
    kwargs    the arguments that its id was made with, besides registered ones
    is_given  whether the user passed an object, so that the name is not enough to make it
    """

    name: str
    kwargs: dict[str, Any]
    is_given: bool


def identity(env: Any, name: str | None) -> Identity:
    """What the vector environment is called. name: the id or path it was made from, if it was."""
    if name is not None:
        return Identity(name, {}, False)
    spec = _spec(env)
    if spec is not None:
        return Identity(spec.id, _own_kwargs(spec), True)
    compiled = getattr(env, "name", None)
    return Identity(compiled if isinstance(compiled, str) else _class_name(env), {}, True)


def _spec(env: Any) -> Any:
    """The Gymnasium spec of the vector environment or its first environment, or None."""
    outer = user_env(env)
    for each in (env, outer, *getattr(env, "envs", ())):
        if (spec := getattr(each, "spec", None)) is not None:
            return spec
    with suppress(Exception):  # asks the processes of environments, which may have none
        return outer.get_attr("spec")[0]
    return None


def _class_name(env: Any) -> str:
    """The class of the user's environment, below wrappers if it runs in this process."""
    last = [env, *getattr(env, "envs", ())][-1]
    return type(getattr(user_env(last), "unwrapped", last)).__name__


def _own_kwargs(spec: Any) -> dict[str, Any]:
    """The arguments of `gymnasium.make` that differ from those that the id is registered with."""
    import gymnasium

    registered = gymnasium.registry.get(spec.id)
    usual = {} if registered is None else registered.kwargs
    return {k: v for k, v in spec.kwargs.items() if k != "render_mode" and usual.get(k) != v}
