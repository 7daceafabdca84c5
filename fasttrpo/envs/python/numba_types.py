"""Numba types for the random stream, and a call that reports exceptions.

This module imports Numba, so it is imported only when an environment is compiled.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    make_attribute_wrapper,
    models,
    overload,
    overload_method,
    register_jitable,
    register_model,
)

from fasttrpo.envs import failures
from fasttrpo.envs.python import draws, elementary
from fasttrpo.envs.python.struct import RUNNING, TERMINATED, TRUNCATED, how_it_ended

WORDS = types.CPointer(types.uint64)
DOUBLES = types.CPointer(types.float64)

# -- elementary functions -------------------------------------------------------------------------


def _machine_code(name):
    """The C function by its symbol, because an address could not be cached."""
    symbol = f"fasttrpo_{name}"
    binding.add_symbol(symbol, elementary.ADDRESSES[name])
    return types.ExternalFunction(symbol, types.float64(*[types.float64] * (1 + (name == "pow"))))


def _overload_of_one(name):
    call = _machine_code(name)
    overload(elementary.FUNCTIONS[name])(lambda x: lambda x: call(x))


for _name in ("sin", "cos", "log1p", "exp", "expm1"):
    _overload_of_one(_name)

_log, _pow = _machine_code("log"), _machine_code("pow")


@overload(elementary.log)
def _log_of(x, base=None):
    if base is None or isinstance(base, types.NoneType | types.Omitted):
        return lambda x, base=None: _log(x)
    return lambda x, base=None: _log(x) / _log(base)


@overload(elementary.FUNCTIONS["pow"])
def _pow_of(x, y):
    return lambda x, y: _pow(x, y)


# -- the stream -----------------------------------------------------------------------------------


class RandomType(types.Type):
    """`draws.Random`, over a pointer to its words."""

    def __init__(self) -> None:
        super().__init__("Random")


@register_model(RandomType)
class RandomModel(models.StructModel):
    """One member, the address of the words."""

    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, [("words", WORDS)])


make_attribute_wrapper(RandomType, "words", "words")

for _function in (draws.philox, draws.draw, draws.uniform, draws.normal, draws.integers):
    register_jitable(_function)


# Numba compares the signature of each with that of its lambda, including annotations.
@overload_method(RandomType, "uniform")
def _uniform(stream, low=0.0, high=1.0):
    return lambda stream, low=0.0, high=1.0: draws.uniform(stream.words, low, high)


@overload_method(RandomType, "normal")
def _normal(stream, mean=0.0, std=1.0):
    return lambda stream, mean=0.0, std=1.0: draws.normal(stream.words, mean, std)


@overload_method(RandomType, "integers")
def _integers(stream, low, high):
    return lambda stream, low, high: draws.integers(stream.words, low, high)


@intrinsic
def as_random(typing_context: Any, words: Any) -> tuple[Any, Any]:
    """The stream of the words at this address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        stream = cgutils.create_struct_proxy(signature.return_type)(context, builder)
        stream.words = values[0]
        return stream._getvalue()  # noqa: SLF001 - Numba's documented way; it has no other

    return RandomType()(WORDS), generate


# -- the end of an episode ------------------------------------------------------------------------


@overload(how_it_ended)
def _how_it_ended(result):
    if len(result) == 2:  # result[2] does not compile
        return lambda result: TERMINATED if result[1] else RUNNING
    return lambda result: TERMINATED if result[1] else TRUNCATED if result[2] else RUNNING


# -- arrays and calls -----------------------------------------------------------------------------


def read_only(array: types.Array) -> types.Array:
    """The read-only version of an array type."""
    return array.copy(readonly=True)


@intrinsic
def as_read_only(typing_context: Any, array: Any) -> tuple[Any, Any]:
    """The same array; code that writes to it does not compile."""
    return read_only(array)(array), lambda context, builder, signature, values: values[0]


@intrinsic
def attempt(typing_context: Any, function: Any, state: Any, arguments: Any) -> tuple[Any, Any]:
    """Calls function(*arguments): (1 if it raised, what it returned).

    Passes an exception to `failures.note`, under the address of the state. This is an intrinsic
    because compiled code cannot inspect an exception that it catches.
    """
    call = function.get_call_type(typing_context, arguments.types, {})
    result = types.Tuple((types.int32, call.return_type))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        compiled = function.dispatcher.overloads[call.args]
        context.add_linking_libs(context.get_function(function, call).libs)
        unpacked = cgutils.unpack_tuple(builder, values[2], len(arguments.types))
        status, returned = context.call_internal_no_propagate(
            builder, compiled.fndesc, call, unpacked
        )
        with builder.if_then(status.is_error, likely=False):
            _note(context, builder, function.dispatcher.__name__, values[1], status)
        code = builder.zext(status.is_error, ir.IntType(32))
        return context.make_tuple(builder, result, [code, returned])

    return result(function, state, arguments), generate


def _note(context: Any, builder: Any, name: str, state: Any, status: Any) -> None:
    """Emits a call of `note_raised`."""
    api = context.get_python_api(builder)
    gil = api.gil_ensure()
    what = cgutils.alloca_once_value(builder, api.make_none())
    with builder.if_then(status.is_user_exc):
        builder.store(context.call_conv.unpack_exception(builder, api, status), what)
    place = api.long_from_ulonglong(builder.ptrtoint(state, ir.IntType(64)))
    note = api.unserialize(api.serialize_object(note_raised))
    who = api.unserialize(api.serialize_object(name))
    answer = api.call_function_objargs(note, (place, who, builder.load(what)))
    with builder.if_then(cgutils.is_null(builder, answer), likely=False):
        api.err_clear()
    api.gil_release(gil)


def note_raised(state: int, name: str, raised: tuple | None) -> None:
    """Records an exception of compiled code: Numba's (class, arguments, (function, file, line))."""
    try:
        kind, arguments, where = raised or ()
        error = kind(*(arguments or ()))
    except Exception:
        error, where = RuntimeError("an exception that compiled code cannot show"), None
    place = failures.line_of(*where[1:]) if where else "compiled=False shows the line"
    failures.note(state, name, error, place)
