"""Fuzzes model files, `.npz` and `.bin`: each mutant must load or raise FormatError, in little
memory and time.

    python tests/fuzz/model_files.py --mutants 100000 --seed 0

Mutant i of a seed is always the same. Failures are printed with their number, and can be made
again by --first I --mutants 1 --keep FILE.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from fasttrpo import TRPO, FormatError
from fasttrpo.files import binary, checkpoint, sections

MEMORY = 256 * 2**20  # bytes that loading one file may take at most
SECONDS = 20  # of processor time that loading one file may take at most


# -- valid models ----------------------------------------------------------------------------------


class SpacesOnly(gymnasium.Env):
    """Has spaces and nothing else."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space, self.action_space = observation_space, action_space


def seeds_of_mutants() -> list[bytes]:
    """Valid files with all kinds of spaces, critics and features."""
    small = {"n_steps": 8, "seed": 0, "n_threads": 1}
    mlp = {**small, "policy_kwargs": {"net_arch": [4]}}
    features = {"features": "fourier", "n_features": 3, "feature_bandwidth": 1.0}
    linear = {**small, "policy_kwargs": features, "critic": "ridge"}
    tree = spaces.Dict({"a": Box(-1, 1, (2,)), "b": spaces.Tuple([Discrete(2), MultiBinary(2)])})
    box = Box(-np.inf, np.inf, (2,), np.float32)
    cart = TRPO("MlpPolicy", "CartPole-v1", n_envs=2, normalize_observations=True, **mlp)
    models = [
        cart.learn(64),
        TRPO("LinearPolicy", SpacesOnly(tree, MultiDiscrete([2, 3])), **linear),
        TRPO("MlpPolicy", SpacesOnly(box, Box(-1, 1, (2, 1))), target_kl="linear_0.02", **mlp),
        TRPO("MlpPolicy", SpacesOnly(Discrete(3), MultiBinary(2)), critic="adam", **mlp),
    ]
    return [_bytes(model) for model in models]


def _bytes(model: TRPO) -> bytes:
    file = io.BytesIO()
    model.save(file, checkpoint=True)
    return file.getvalue()


# -- archives, written directly so that any part can be wrong --------------------------------------

# A member's name and content; everything else that an archive stores are `tweaks`.
Members = list[tuple[str, bytes]]


def members_of(data: bytes) -> Members:
    """The members of a valid file."""
    return list(_members_of(data))


@cache
def _members_of(data: bytes) -> tuple[tuple[str, bytes], ...]:
    with zipfile.ZipFile(io.BytesIO(data)) as good:
        return tuple((name, good.read(name)) for name in good.namelist())


def archive(members: Members, rng: random.Random | None = None) -> bytes:
    """The archive with valid checksums; with `rng`, one member's entry is wrong."""
    wrong = rng.randrange(len(members)) if rng is not None and members else -1
    out, directory = bytearray(), bytearray()
    for i, (name, content) in enumerate(members):
        tweak = _tweaks(rng, len(out), len(content)) if rng is not None and i == wrong else {}
        packed = tweak.get("packed", content)
        method, flags = tweak.get("method", 0), tweak.get("flags", 0)
        crc, raw = zlib.crc32(content), name.encode()
        sizes = tweak.get("sizes", (len(packed), len(content)))
        local = (b"PK\3\4", 20, flags, method, 0, 33, crc, *sizes, len(raw), 0)
        offset = tweak.get("offset", len(out))
        out += struct.pack("<4s5H3L2H", *local) + raw + packed
        extra = tweak.get("extra", b"")
        entry = (b"PK\1\2", 20, 20, flags, method, 0, 33, crc, *sizes, len(raw), len(extra))
        directory += struct.pack("<4s6H3L5H2L", *entry, 0, 0, 0, 0, offset) + raw + extra
    count, start = len(members), len(out)
    if rng is not None and rng.random() < 0.2:
        count = rng.choice([0, count + 1, 65535, max(0, count - 1)])
    if rng is not None and rng.random() < 0.1:
        start = rng.choice([0, 2**32 - 1, start + 1])
    counts = [min(count, 65535)] * 2
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *counts, len(directory), start, 0)
    return bytes(out + directory) + end


def _tweaks(rng: random.Random, at: int, size: int) -> dict[str, Any]:
    """What is wrong with one member's entry."""
    huge = rng.choice([0, 1, size + 1, 2**31, 2**32 - 2, 2**32 - 1])
    wide = struct.pack("<2HQQ", 1, 16, rng.choice([size, 2**40, 2**63]), size)
    zeros = _deflated()
    return rng.choice(
        [
            {"method": rng.choice([1, 6, 8, 9, 12, 14, 93, 99])},
            {"method": 8, "packed": zeros, "sizes": (len(zeros), rng.choice([size, 2**22]))},
            {"flags": 1 << rng.randrange(16)},
            {"sizes": (size, huge)},
            {"sizes": (huge, huge)},
            {"offset": rng.choice([0, max(0, at - 1), at + 1, 2**32 - 1, 2**31])},
            {"sizes": (2**32 - 1, 2**32 - 1), "extra": wide},
            {"extra": rng.randbytes(rng.randrange(40))},
        ]
    )


@cache
def _deflated() -> bytes:
    """4 MiB of zeros, compressed."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    return bomb.compress(bytes(2**22)) + bomb.flush()


def npy(descr: str, shape: str, data: bytes, fortran: str = "False", version: int = 1) -> bytes:
    """An .npy file with any header."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    length = struct.pack("<H" if version == 1 else "<L", len(text) % 2**16)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("latin-1", "replace") + data


# -- mutations -------------------------------------------------------------------------------------


def flipped(data: bytes, rng: random.Random) -> bytes:
    """A few bits or bytes changed, mostly in the archive's structures."""
    bad = bytearray(data)
    places = [0, bad.rfind(b"PK\1\2"), len(bad) - 22, rng.randrange(len(bad))]
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.choice(places) + rng.randrange(120)
        bad[at % len(bad)] ^= rng.choice([1 << rng.randrange(8), 255])
    return bytes(bad)


def cut(data: bytes, rng: random.Random) -> bytes:
    """Truncated, or with a part duplicated, dropped or moved."""
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    at = rng.randrange(len(data) + 1)
    parts = [data[:a], data[a:], data[:b] + data[a:], data[:a] + data[b:], data + data[a:b]]
    return rng.choice([*parts, data[:at] + data[a:b] + data[at:], data + bytes(rng.randrange(99))])


def structured(data: bytes, rng: random.Random) -> bytes:
    """A valid archive with other members, or these members with wrong entries."""
    members = members_of(data)
    i = rng.randrange(len(members))
    name, content = members[i]
    kind = rng.randrange(7)
    if kind == 0:
        members.append((name, content))
    elif kind == 1:
        del members[i]
    elif kind == 2:
        members.append((rng.choice(["x.npy", "theta", "run.x.npy", "../a.npy", ""]), content))
    elif kind == 3:
        members[i] = name, members[rng.randrange(len(members))][1]
    elif kind == 4:
        members += [(f"{n}.npy", b"") for n in range(rng.choice([50, 200, 70000]))]
    elif kind == 5:
        rng.shuffle(members)
    return archive(members, rng if kind == 6 or rng.random() < 0.2 else None)


_DTYPES = ("<f8", ">f8", "<f4", "<c16", "<i8", "|O", "|S8", "<U1", "<U999999999", "|V8", "<M8[s]")
_DESCRS = [repr(dtype) for dtype in (*_DTYPES, "|b1", "|u1", "<f16", "x")]
_DESCRS += ["[('a', '<f8')]", "{}", "None", "1", "(" * 500, "'<f8'" + " " * 2000, "__import__"]
_SHAPES = ["()", "(0,)", "(-1,)", "(1099511627776,)", "(4294967296, 4294967296)", "(2, 0)", "7"]
_SHAPES += [
    "(True,)",
    "(1.0,)",
    "(1,) * 10 ** 9",
    "[1]",
    "(" + "1, " * 40 + ")",
    f"({'9' * 5000},)",
]


def typed(data: bytes, rng: random.Random) -> bytes:
    """One array with another header."""
    members = members_of(data)
    i = rng.randrange(len(members))
    name, content = members[i]
    array = np.load(io.BytesIO(content))
    descr, shape = repr(array.dtype.str), repr(array.shape)
    if rng.random() < 0.6:
        descr = rng.choice(_DESCRS)
    if rng.random() < 0.6:
        shape = rng.choice(_SHAPES)
    fortran = rng.choice(["False", "False", "True", "0"])
    version = rng.choice([1, 1, 1, 2, 3, 9])
    members[i] = name, npy(descr, shape, array.tobytes(), fortran, version)
    return archive(members)


_NUMBERS = [0.0, -1.0, np.nan, np.inf, 1e300, 5e-324, 2.0**32, 2.0**53, 2.0**63, 0.5, 1e19, -0.0]


def numbered(data: bytes, rng: random.Random) -> bytes:
    """Other numbers in an array, or more or fewer of them."""
    members = members_of(data)
    names = [name for name, _ in members]
    i = rng.randrange(1, len(members))
    array = np.load(io.BytesIO(members[i][1])).copy()
    flat = array.reshape(-1)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(rng.choice([1, 1, 3])):
            if len(flat):
                value = np.float64(rng.choice(_NUMBERS))
                flat[rng.randrange(len(flat))] = value.astype(flat.dtype)
    if rng.random() < 0.3:
        array = rng.choice(
            [flat[:-1], np.append(flat, flat), flat[None], np.float64(1.0), flat[:0]]
        )
    file = io.BytesIO()
    np.save(file, array)
    members[i] = names[i], file.getvalue()
    return archive(members)


_DEEP = 100_000
_VALUES: list[Any] = [None, True, -1, 0, 1, 2, 0.5, 2**24, 2**31, 2**31 - 257, 2**63, 2**64, 10**30]
_VALUES += [1e308, float("nan"), float("inf"), "", "x" * 1000, "linear_1e999", "linear_nan", [], {}]
_VALUES += [[2**24] * 3, [1] * 1000, [10**9], {"pi": [2**24], "vf": [2**24]}, ["a"], "float64", "O"]


def headed(data: bytes, rng: random.Random) -> bytes:
    """Another value somewhere in the JSON header."""
    members = members_of(data)
    header = json.loads(str(np.load(io.BytesIO(members[0][1]))))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        where = rng.choice(_places(header))
        value = copy.deepcopy(rng.choice(_VALUES))
        holder, key = where
        action = rng.randrange(6)
        if action == 0 and isinstance(holder, dict):
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder["another"] = value
        elif action == 2 and isinstance(holder[key], int | float):
            holder[key] = holder[key] * rng.choice([-1, 2, 1000, 10**6])
        else:
            holder[key] = value
    return _with_header(members, json.dumps(header))


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every value in the header as (container, key)."""
    keys = node.keys() if isinstance(node, dict) else range(len(node))
    found = []
    for key in keys:
        found.append((node, key))
        if isinstance(node[key], dict | list):
            found += _places(node[key])
    return found


def _with_header(members: Members, text: str) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(text))
    return archive([(members[0][0], file.getvalue()), *members[1:]])


def rewritten(data: bytes, rng: random.Random) -> bytes:
    """Another text as the header: deep, long, cut, or with duplicate names."""
    members = members_of(data)
    text = str(np.load(io.BytesIO(members[0][1])))
    at = rng.randrange(len(text))
    deep = "[" * _DEEP
    nested = '{"kind": "tuple", "parts": [' * 5000
    return _with_header(
        members,
        rng.choice(
            [
                text[:at],
                text[:at] + chr(rng.randrange(1, 0x3000)) + text[at + 1 :],
                deep,
                text.replace('"observations": ', f'"observations": {nested}', 1),
                text.replace("2", "9" * rng.choice([20, 5000, 500_000]), 1),
                text[:-1] + ', "format": 2}',
                text[:-1] + ', "x": ' + deep + "]" * _DEEP + "}",
                text.replace('"format": 2', f'"format": {rng.choice(["2.0", "true", "3", "1"])}'),
                "[" + "[]," * 200_000 + "0]",
                json.dumps(text),
                " " * 2**20 + text,
            ]
        ),
    )


def compressed(data: bytes, rng: random.Random) -> bytes:
    """A member that would unpack to hundreds of megabytes."""
    members, file = members_of(data), io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice([8, 12, 14])) as out:
        for name, content in members[: rng.choice([1, 3, 99])]:
            out.writestr(name, content)
        out.writestr("theta.npy" if rng.random() < 0.5 else "zeros.npy", _zeros())
    return file.getvalue()


@cache
def _zeros() -> bytes:
    return npy("'<f8'", f"({2**19},)", bytes(2**22))


def in_sections(data: bytes, rng: random.Random) -> bytes:
    """A `.bin` file with damaged bytes, or valid sections with other fields."""
    packed = _as_binary(data)
    if rng.random() < 0.3:
        return rng.choice([flipped, cut])(packed, rng)
    found = sections.unpack(packed)
    section = found[rng.choice(list(found))]
    for _ in range(rng.choice([1, 1, 3])):
        name = rng.choice(list(section))
        section[name] = _another(section[name], rng)
    if rng.random() < 0.2:
        section[rng.choice(["gamma", "theta", "header", "x"])] = rng.choice([np.zeros(3), "text"])
    if rng.random() < 0.2:
        del found[rng.choice(list(found))]
    return sections.pack(found)


@cache
def _as_binary(data: bytes) -> bytes:
    return binary.to_bytes(checkpoint.read(io.BytesIO(data)))


def _another(value: Any, rng: random.Random) -> Any:
    """Another text, or other numbers, or more, fewer, of another type or shape."""
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return rng.choice([value[:at], value[:at] + "9" + value[at + 1 :], "[" * _DEEP, "relu"])
    flat = np.atleast_1d(value).reshape(-1).copy()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if len(flat):
            number = np.float64(rng.choice(_NUMBERS))
            flat[rng.randrange(len(flat))] = number.astype(flat.dtype)
    same = flat.reshape(value.shape)
    others = [flat[:-1], np.append(flat, flat), flat[None], np.float64(1.0), "text"]
    return rng.choice([same, same, same, *others])


MUTATIONS = (flipped, cut, structured, typed, numbered, headed, rewritten, in_sections)
RARE = compressed


def mutant(bases: list[bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Mutant `number`, and the name of its mutation."""
    rng = random.Random(f"{seed}/{number}")
    mutate = RARE if number % 200 == 0 else rng.choice(MUTATIONS)
    data = mutate(rng.choice(bases), rng)
    if rng.random() < 0.1 and len(data) > 1:
        data = flipped(data, rng)
    return mutate.__name__, data


# -- loading ---------------------------------------------------------------------------------------


class Hangs(BaseException):
    """Loading took too long."""


def _stop(*_: object) -> None:
    raise Hangs


def load(data: bytes, number: int, path: Path) -> str:
    """The outcome of loading: "loads", "refused", or what is wrong. Alternates between a path and
    an open file, and between with and without an environment.
    """
    by_path, with_env = number % 2 == 0, number % 3 == 0
    if by_path:
        path.write_bytes(data)
    try:
        TRPO.load(path if by_path else io.BytesIO(data), "CartPole-v1" if with_env else None)
        return "loads"
    except FormatError as error:
        named = path.name if by_path else "the open file"
        return "refused" if named in str(error) else f"FormatError without the file: {error}"
    except Hangs:
        return "hangs"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]


def run(mutants: int, seed: int = 0, first: int = 0, report: Any = None) -> Counter:
    """Loads the mutants: {outcome: count}. Unexpected exceptions, and excessive memory or time, are
    outcomes of their own.
    """
    bases, ends = seeds_of_mutants(), Counter()
    before = signal.signal(signal.SIGPROF, _stop)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(first, first + mutants):
            kind, data = mutant(bases, seed, number)
            peak = _peak()
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                end = load(data, number, Path(folder) / "mutant.npz")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if _peak() - peak > MEMORY:
                end = f"takes {(_peak() - peak) >> 20} MB"
            ends[end] += 1
            if report is not None and end not in ("loads", "refused"):
                report(f"mutant {number} ({kind}): {end}")
    signal.signal(signal.SIGPROF, before)
    return ends


def _peak() -> int:
    """This process's peak memory in bytes."""
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Prints the outcomes; returns 1 if any mutant failed unexpectedly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the first mutant to this file and exit")
    args = parser.parse_args()
    if args.keep:
        args.keep.write_bytes(mutant(seeds_of_mutants(), args.seed, args.first)[1])
        return 0
    started = time.monotonic()
    before = _peak()
    ends = run(args.mutants, args.seed, args.first, print)
    seconds = time.monotonic() - started
    print(f"{args.mutants} mutants of seed {args.seed} in {seconds:.0f} s: {dict(ends)}")
    print(f"memory: {before >> 20} MB before, {_peak() >> 20} MB at most")
    return int(bool(set(ends) - {"loads", "refused"}))


if __name__ == "__main__":
    sys.exit(main())
