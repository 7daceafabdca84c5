"""Numba's errors in terms of the user's functions: the file, the line and its text.

Numba's own message, dozens of lines about candidates, passes and internal names, remains as the
cause of the error.
"""

from __future__ import annotations

import inspect
import linecache
import re
from typing import Any

from fasttrpo.envs.failures import CompileError

HINT = "compiled=False runs the functions in the interpreter, slowly, for pdb and print"
# Matches `at PATH (LINE)`, `Raised from PATH (LINE)` and `File "PATH", line LINE`.
_PLACE = re.compile(r"(?:\bat|\bfrom|File) \"?([^\n\"]+?)\"?(?: \(|, line )(\d+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TWO_TYPES = re.compile(r"Cannot unify (.+) and (.+) for '(\w+?)(?:\.\d+)?'")
_GLOBAL = re.compile(r"Untyped global name '(\w+)': Cannot determine .*<class '([\w.]+)'>")
_NO_FUNCTION = re.compile(r"No implementation of function .*?>>> ([^\n]+)", re.DOTALL)
# Numba's terms -> Python's.
_TYPES = (
    (r"Literal\[str\]\(([^)]*)\)", r"'\1'"),
    (r"Literal\[\w+\]\(([^)]*)\)", r"\1"),
    (r"readonly array\(float64, \w+, \w\)", "read-only array"),
    (r"array\(float64, \w+, \w\)", "array"),
    (r"array\((\w+), (\w+), \w\)", r"\2 array of \1"),
    (r"unicode_type", "str"),
    (r"\bfloat64\b", "float"),
    (r"\bint64\b", "int"),
    (r"\bnone\b", "None"),
)
_OPERATORS = {
    "setitem": "{} [{}] = {}",
    "getitem": "{} [{}]",
    "static_getitem": "{} [{}]",
    **{"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "truediv": "{} / {}"},
    **{"iadd": "{} += {}", "isub": "{} -= {}", "imul": "{} *= {}", "itruediv": "{} /= {}"},
    **{"gt": "{} > {}", "lt": "{} < {}", "ge": "{} >= {}", "le": "{} <= {}", "eq": "{} == {}"},
}


def translate(name: str, role: str, error: Exception, functions: Any) -> CompileError:
    """Numba's error as a CompileError. functions: the function and its helpers."""
    text = _COLOURS.sub("", str(error))
    filename, line = _place(text, error, functions)
    return _error(f"{name}: Numba cannot compile {role}: {_what(text)}", filename, line)


RESULT_OF_STEP = "(reward, terminated) or (reward, terminated, truncated)"


def wrong_return(name: str, role: str, function: Any, result: str) -> CompileError:
    """The error for a function that compiles, but returns the wrong type."""
    code = function.__code__
    must = RESULT_OF_STEP if role == "step" else "nothing"
    what = f"{name}: {role} must return {must}, but returns {_in_python(result)}"
    return _error(what, code.co_filename, code.co_firstlineno)


def _error(what: str, filename: str | None, line: int | None) -> CompileError:
    if filename is None or line is None:
        return CompileError(f"{what}\n({HINT})")
    source = linecache.getline(filename, line).strip()
    place = f'  File "{filename}", line {line}' + (f"\n    {source}" if source else "")
    return CompileError(f"{what}\n{place}\n({HINT})", filename, line)


def _place(text: str, error: Exception, functions: Any) -> tuple[str | None, int | None]:
    """The innermost location in the message that is in one of the user's files."""
    own = {function.__code__.co_filename: function for function in functions}
    location = getattr(error, "loc", None)
    for filename, line in _PLACE.findall(text):
        if filename in own:
            return filename, int(line)
    if location is not None and location.filename in own:
        return location.filename, location.line
    return _mentioned(text, functions[0])


def _mentioned(text: str, function: Any) -> tuple[str, int]:
    """The line of the function with the last word of the message, else its first line."""
    word = re.search(r"'(\w+)'\W*$", text)
    code = function.__code__
    lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]
    for offset, line in enumerate(inspect.getblock(lines) if lines else ()):
        if word and re.search(rf"\b{word[1]}\b", line):
            return code.co_filename, code.co_firstlineno + offset
    return code.co_filename, code.co_firstlineno


def _what(text: str) -> str:
    """The sentence of the message that states the problem."""
    text = re.sub(r"Failed in \w+ mode pipeline \(step: [^)]*\)\s*", "", text).strip()
    if "Cannot modify readonly array" in text:
        return "it writes to a read-only array"
    no_function = _NO_FUNCTION.match(text)
    if no_function:
        return f"there is no {_call(_in_python(no_function[1]))}"
    two_types = _TWO_TYPES.match(text)
    if two_types:
        a, b, variable = map(_in_python, two_types.groups())
        return f"{variable!r} is {a} in one place and {b} in another"
    of_global = _GLOBAL.match(text)
    if of_global:
        return f"{of_global[1]!r} is a {of_global[2]}, not a number, array, tuple or function"
    sentence = re.split(r"\n\s*\n|\nDuring: |\nFile \"|\.? *Raised from ", text)[0]
    return _in_python(" ".join(sentence.split()).removeprefix("NameError: "))


def _in_python(text: str) -> str:
    for pattern, words in _TYPES:
        text = re.sub(pattern, words, text)
    return text


def _call(text: str) -> str:
    """`setitem(array, 0, 'far')` in Python's syntax."""
    found = re.fullmatch(r"(\w+)\((.*)\)", text)
    if found is None or found[1] not in _OPERATORS:
        return text
    pattern, arguments = _OPERATORS[found[1]], found[2].split(", ")
    if pattern.count("{}") != len(arguments):
        return text
    return pattern.format(*arguments).replace(" [", "[")
