"""Makes single Gymnasium environments from an id, a class or a function, and checks them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fasttrpo.checks.suggest import nearest
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.stream import answers

REFUSED = "refuses env_kwargs="  # in messages of `naming`
_REFUSALS = (TypeError, ValueError, LookupError, AssertionError, OSError)
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_FROM_MAKE = "was raised from the environment creator"
_MAX_SHOWN = 200


def is_function(env: Any) -> bool:
    """Whether this is a class or a function, which may return environments."""
    return isinstance(env, type) or (callable(env) and not hasattr(env, "step"))


class Maker:
    """Makes environments one by one, each a new one.

    source      an id, or a class or function that returns a `gymnasium.Env`
    env_kwargs  its keyword arguments
    """

    def __init__(self, source: Any, env_kwargs: Mapping[str, Any]) -> None:
        self._source, self._env_kwargs = source, env_kwargs
        self._made: list[Any] = []

    def __call__(self) -> Any:
        """A new environment. Raises TypeError for anything else that the function returns."""
        name, creator = name_of(self._source), self._source
        if isinstance(creator, str):
            creator = _gymnasium_maker(creator)
        with naming(name, self._env_kwargs, self._source):
            env = creator(**self._env_kwargs)
        self._check(env, name)
        return env

    def _check(self, env: Any, name: str) -> None:
        import gymnasium

        if isinstance(env, gymnasium.vector.VectorEnv) or not isinstance(env, gymnasium.Env):
            raise UserTypeError(
                f"{name} returned {_returned(env)}; a class or function that is passed as env must "
                "return one gymnasium.Env at each call"
            )
        answers.check_spaces(env, "observation_space", "action_space")
        if any(env.unwrapped is each for each in self._made):
            raise UserError(
                f"{name} returned the same environment twice: it must make a new one at each call, "
                "because n_envs environments are stepped independently"
            )
        self._made.append(env.unwrapped)

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, which make environments of their own."""
        return vars(self) | {"_made": []}


def name_of(source: Any) -> str:
    """An id, or the name of a class or function, for messages."""
    if isinstance(source, str):
        return source
    source = getattr(source, "func", source)  # functools.partial
    return getattr(source, "__name__", None) or type(source).__name__


def _returned(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__} itself: return {value.__name__}()"
    several = ", several environments: pass it itself" if hasattr(value, "num_envs") else ""
    return answers.form(value) + several


def _gymnasium_maker(env_id: str) -> Callable[..., Any]:
    import gymnasium

    return lambda **env_kwargs: gymnasium.make(env_id, **env_kwargs)


# -- refused keyword arguments ---------------------------------------------------------------------


@contextmanager
def naming(name: str, env_kwargs: Mapping[str, Any], source: Any = None) -> Iterator[None]:
    """Names `env_kwargs` in an error that they may have caused, in the environment's own words."""
    try:
        yield
    except _REFUSALS as error:
        if not env_kwargs or getattr(error, "__notes__", None):
            raise
        kind = UserTypeError if isinstance(error, TypeError) else UserError
        words = f"{name} {REFUSED}{_shown(env_kwargs)}: {_words(error)}"
        raise kind(words + _hint(error, source)) from error


def _shown(env_kwargs: Mapping[str, Any]) -> str:
    text = repr(dict(env_kwargs))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _words(error: BaseException) -> str:
    """What the environment said, without what `gymnasium.make` adds."""
    if _FROM_MAKE in str(error) and error.__cause__ is not None:
        error = error.__cause__
    is_plain = isinstance(error, UserError | TypeError | OSError)
    return str(error) if is_plain else f"{type(error).__name__}: {error}"


def _hint(error: BaseException, source: Any) -> str:
    """The keyword argument that is nearest to an unexpected one."""
    match = _UNEXPECTED.search(str(error))
    if match is None or source is None:
        return ""
    found = nearest(match[1], _parameters(source))
    return f"; did you mean {found!r}?" if found else ""


def _parameters(source: Any) -> list[str]:
    """The names of a class's or function's parameters; [] if unknown."""
    from gymnasium.envs import registration

    try:
        if isinstance(source, str):
            point = registration.spec(source).entry_point
            source = registration.load_env_creator(point) if isinstance(point, str) else point
        return [*inspect.signature(source).parameters]
    except (TypeError, ValueError):
        return []
