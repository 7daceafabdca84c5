"""A reader of `.bin` files in plain Python, from docs/file-format.md alone, without the project.

`read` returns {section: {field: value}}, `act` the most likely action.
"""

import itertools
import math
import struct
import zlib


def read(data):
    magic, number, size = struct.unpack_from("<4sIQ", data)
    assert (magic, number, size) == (b"TRPO", 3, len(data))
    at, sections = 16, {}
    while at < len(data):
        name, size = struct.unpack_from("<16sQ", data, at)
        end = at + size - 8
        assert struct.unpack_from("<Q", data, end)[0] == zlib.crc32(data[at:end])
        sections[name.rstrip(b"\0").decode()] = dict(fields(data, at + 24, end))
        at += size
    return sections


def fields(data, at, end):
    while at < end:
        kind, rank, length, _ = struct.unpack_from("<cBBB", data, at)
        name = data[at + 4 : at + 4 + length].decode()
        at += (4 + length + 7) // 8 * 8
        shape = struct.unpack_from(f"<{rank}Q", data, at)
        at += 8 * rank
        count = math.prod(shape)
        code = f"<{count}{kind.decode()}"
        values = struct.unpack_from(code, data, at)
        at += (struct.calcsize(code) + 7) // 8 * 8
        yield name, values[0].decode() if kind == b"s" else list(values) if rank else values[0]


def act(policy, x):
    """The most likely action for an observation, of a policy without features."""
    if policy["normalize_observations"] and policy["obs_count"][0] > 0:
        n = policy["obs_count"][0]
        moments = zip(x, policy["obs_mean"], policy["obs_m2"], strict=True)
        x = [max(-10, min(10, (v - m) / math.sqrt(s / n + 1e-8))) for v, m, s in moments]
    activation = {"tanh": math.tanh, "relu": lambda z: max(z, 0.0), "identity": float}
    widths, at = [policy["obs_size"], *policy["policy_hidden"], sum(policy["parts"])], 0
    for layer, (K, M) in enumerate(itertools.pairwise(widths)):
        W = [policy["theta"][at + k * M : at + (k + 1) * M] for k in range(K + 1)]
        at += (K + 1) * M
        x = [sum(v * row[m] for v, row in zip([*x, 1.0], W, strict=True)) for m in range(M)]
        if layer < len(widths) - 2:
            x = [activation[policy["activation"]](z) for z in x]
    if policy["distribution"] == "gaussian":
        return [to_env(policy, d, mean) for d, mean in enumerate(x)]
    if policy["distribution"] == "bernoulli":
        return [float(logit > 0) for logit in x]
    ends = [sum(policy["parts"][: d + 1]) for d in range(len(policy["parts"]))]
    logits = [x[end - n : end] for end, n in zip(ends, policy["parts"], strict=True)]
    return [float(each.index(max(each))) for each in logits]


def to_env(policy, d, a):
    if "act_low" not in policy:
        return a
    low, high, how = policy["act_low"][d], policy["act_high"][d], int(policy["act_to_env"][0])
    a = a * (high - low) / 2 + (high + low) / 2 if how & 2 else a
    return max(low, min(high, a)) if how & 1 else a
