"""What Numba must know beyond the user's functions: the stream, and a call that reports.

Imported late: it imports Numba.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    make_attribute_wrapper,
    models,
    overload_method,
    register_jitable,
    register_model,
)

from fasttrpo.envs import failures
from fasttrpo.envs.python import draws

WORDS = types.CPointer(types.uint64)
DOUBLES = types.CPointer(types.float64)

# -- the stream -----------------------------------------------------------------------------------


class RandomType(types.Type):
    """`draws.Random`, over a pointer to its words."""

    def __init__(self) -> None:
        super().__init__("Random")


@register_model(RandomType)
class RandomModel(models.StructModel):
    """One member: where the words are."""

    def __init__(self, manager, type_):
        super().__init__(manager, type_, [("words", WORDS)])


make_attribute_wrapper(RandomType, "words", "words")

for _function in (draws.philox, draws.draw, draws.uniform, draws.normal, draws.integers):
    register_jitable(_function)


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
def as_random(typing_context, words):
    """The stream whose words are there."""

    def generate(context, builder, signature, values):
        stream = cgutils.create_struct_proxy(signature.return_type)(context, builder)
        stream.words = values[0]
        return stream._getvalue()  # noqa: SLF001 - Numba's documented way; it has no other

    return RandomType()(WORDS), generate


# -- arrays and calls -----------------------------------------------------------------------------


def read_only(array: types.Array) -> types.Array:
    """The type of such an array that cannot be written to."""
    return array.copy(readonly=True)


@intrinsic
def as_read_only(typing_context, array):
    """The same array; to write to it does not compile."""
    return read_only(array)(array), lambda context, builder, signature, values: values[0]


@intrinsic
def attempt(typing_context, function, state, arguments):
    """(1 if it raised, what it returned) of function(*arguments).

    What it raised goes to `failures.note`, under the place of the state. Written by hand because
    compiled code that catches an exception cannot see which.
    """
    call = function.get_call_type(typing_context, arguments.types, {})
    result = types.Tuple((types.int32, call.return_type))

    def generate(context, builder, signature, values):
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


def _note(context, builder, name, state, status):
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
    """Keeps what compiled code raised: Numba's (class, arguments, (function, file, line))."""
    try:
        kind, arguments, where = raised or ()
        error = kind(*(arguments or ()))
    except Exception:
        error, where = RuntimeError("an exception that compiled code cannot show"), None
    place = failures.line_of(*where[1:]) if where else "compiled=False shows the line"
    failures.note(state, name, error, place)
