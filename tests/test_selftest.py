"""The selftest passes on a working installation and fails on a broken one."""

from __future__ import annotations

import os

import numpy as np
import pytest
from agents import needs_extension
from helpers import insides
from tables import table
from tolerances import DIFFERENCES, SAMPLING, assert_close

from fasttrpo import TRPO, cli, selftest, theory
from fasttrpo.core import backend
from fasttrpo.selftest import formulas, machine
from fasttrpo.selftest.cases import KINDS, Case
from fasttrpo.selftest.result import Outcome, Result, error, state_error


def outcomes(*wanted):
    """The statuses of the checks whose names start with one of these."""
    chosen = [(name, check) for name, check in selftest.checks() if name.startswith(wanted)]
    assert chosen
    return {name: Result(name, check()).status for name, check in chosen}


# -- a working installation -----------------------------------------------------------------------


def test_the_selftest_passes(capsys):
    assert cli.main(["selftest"]) == 0
    *lines, empty, verdict = capsys.readouterr().out.splitlines()
    assert empty == ""
    assert {line.split()[0] for line in lines} <= {"ok", "-"}
    assert verdict.startswith("All ")
    assert f"{backend.choose()} backend" in verdict
    for kind in KINDS:
        for name in ("densities", "gradient", "Fisher product", "KL Hessian", "update"):
            assert any(line.startswith(f"ok      {name}, {kind.name} ") for line in lines)


@needs_extension
def test_every_instruction_set_and_number_of_threads_is_checked():
    names = [name for name, _ in selftest.checks()]
    for each in machine.instruction_sets():
        assert f"instruction set {each}, float32" in names
    assert {1, 2, backend.cores()} <= set(machine.thread_counts())
    assert outcomes("threads") == {"threads": "ok"}


def test_checks_that_do_not_apply_to_the_portable_backend_are_skipped(monkeypatch):
    monkeypatch.setenv(backend.VARIABLE, "portable")
    assert set(outcomes("threads", "instruction sets agree").values()) == {"-"}
    assert machine.instruction_sets() == []


def test_forcing_an_instruction_set_restores_the_environment(monkeypatch):
    monkeypatch.delenv(machine.VARIABLE, raising=False)
    for before in (None, "avx2"):
        if before:
            monkeypatch.setenv(machine.VARIABLE, before)
        with machine.forced("baseline"):
            assert os.environ[machine.VARIABLE] == "baseline"
        assert os.environ.get(machine.VARIABLE) == before


# -- a broken installation ------------------------------------------------------------------------


class Broken:
    """An agent with one method's results changed."""

    def __init__(self, agent, method, change):
        object.__setattr__(self, "_parts", (agent, method, change))

    def __getattr__(self, name):
        agent, method, change = self._parts
        attribute = getattr(agent, name)
        if name == "theory":
            return Broken(attribute, method, change)
        if name != method:
            return attribute
        return lambda *args, **kwargs: change(attribute(*args, **kwargs))

    def __setattr__(self, name, value):
        setattr(self._parts[0], name, value)


def break_agents(monkeypatch, method, change, when=lambda settings: True):
    make = backend.make_agent

    def broken(settings, which=None, dtype="float32"):
        agent = make(settings, which, dtype)
        wanted = backend.choose(which) == backend.choose() and when(settings)
        return Broken(agent, method, change) if wanted else agent

    monkeypatch.setattr(backend, "make_agent", broken)


def perturbed(vector):
    """The vector with its largest entry off by a millionth."""
    vector = vector.copy()
    vector[np.argmax(np.abs(vector))] *= 1 + 1e-6
    return vector


BREAKS = {
    "gradient": ("gradient", perturbed, ["gradient"]),
    "Fisher": ("fisher_product", perturbed, ["Fisher product"]),
    "metric": ("fisher_product", lambda v: 1.01 * v, ["Fisher product", "KL Hessian"]),
    "KL": ("evaluate", lambda t: (t[0], 1.001 * t[1], t[2]), ["densities", "KL Hessian"]),
    "surrogate": ("evaluate", lambda t: (t[0] + 1e-9, *t[1:]), ["densities"]),
    "log-density": ("act", lambda t: (t[0], t[1] + 1e-6, t[2]), ["densities"]),
    "solution": ("solve", lambda t: (perturbed(t[0]), t[1]), ["conjugate gradient"]),
    "record": ("update", lambda r: r | {"kl": 1.001 * r["kl"]}, ["update"]),
    "trust region": ("update", lambda r: r | {"kl": 0.02}, ["update"]),
    "value gradient": ("value_gradient", perturbed, ["critic"]),
    "value product": ("value_product", perturbed, ["critic"]),
    "not finite": ("gradient", lambda g: g * np.nan, ["gradient"]),
    "shape": ("gradient", lambda g: g[:-1], ["gradient"]),
}


@pytest.mark.parametrize(("method", "change", "checks"), BREAKS.values(), ids=BREAKS)
def test_a_wrong_result_fails_its_checks(method, change, checks, monkeypatch):
    break_agents(monkeypatch, method, change)
    assert set(outcomes(*checks).values()) == {"FAILED"}


@needs_extension
def test_threads_that_disagree_fail(monkeypatch):
    def change(state):
        return state | {"theta": np.nextafter(state["theta"], 9)}

    break_agents(monkeypatch, "state", change, lambda settings: settings.n_threads == 2)
    assert outcomes("threads") == {"threads": "FAILED"}


@needs_extension
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wrong_instruction_set_fails(dtype, monkeypatch):
    broken = machine.instruction_sets()[0]
    factor = 1 + 10 * machine.UPDATES[dtype]

    def change(state):
        return state | {"theta": factor * state["theta"]}

    def is_broken(settings):
        return os.environ.get(machine.VARIABLE) == broken

    break_agents(monkeypatch, "state", change, is_broken)
    found = outcomes("instruction set ")
    assert found.pop(f"instruction set {broken}, {dtype}") == "FAILED"
    assert {status for name, status in found.items() if broken not in name} <= {"ok"}
    fused = [name for name in machine.instruction_sets() if name not in machine.NOT_FUSED]
    if len(fused) > 1:
        assert outcomes("instruction sets agree")[f"instruction sets agree, {dtype}"] == "FAILED"


def test_wrong_advantages_and_rejected_steps_fail(monkeypatch):
    gae, search = theory.gae, theory.line_search
    monkeypatch.setattr(theory, "gae", lambda *args: [1.000001 * x for x in gae(*args)])
    found = search(lambda trial: (1.0, 0.0), np.ones(50), np.ones(50), 0.0)
    monkeypatch.setattr(theory, "line_search", lambda *args: found)
    wanted = {"advantages (GAE)": "FAILED", "rejected step": "FAILED"}
    assert outcomes("advantages", "rejected") == wanted


def test_a_model_that_loads_differently_fails(monkeypatch):
    load = TRPO.load

    def other(path):
        model = load(path)
        state = model.snapshot().state
        insides(model).agent.load_state(
            state | {"value_theta": np.nextafter(state["value_theta"], 9)}
        )
        return model

    monkeypatch.setattr(TRPO, "load", other)
    assert outcomes("save and load") == {"save and load": "FAILED"}


def test_a_failure_is_named_and_exits_with_code_1(monkeypatch, capsys):
    def fails():
        raise RuntimeError("no such kernel")

    given = [("this one", lambda: Outcome("that", 0.0, 0.0)), ("broken one", fails)]
    monkeypatch.setattr(selftest, "checks", lambda kinds: given)
    assert cli.main(["selftest"]) == 1
    out = capsys.readouterr().out
    assert "RuntimeError: no such kernel" in out
    assert "1 of 2 checks FAILED (broken one): do not trust" in out


# -- the parts of the selftest --------------------------------------------------------------------


DRAWS = 2000


@table("kind", KINDS, ids=lambda kind: kind.name)
def test_the_formulas_agree_with_the_densities(kind):
    """Density, divergence, metric and entropy are derived separately: compared by sampling."""
    draw, n = np.random.default_rng(0), 4
    obs, mask = draw.normal(size=(n, 3)), kind.mask(draw, n)
    old = 0.5 * draw.normal(size=Case(kind).theta.size)
    new = old + 0.2 * draw.normal(size=old.size)
    policy = kind.policy(mask)
    F = formulas.hessian(lambda t: policy.kl(old, t, obs), old)
    assert_close(F, policy.fisher(old, obs), DIFFERENCES)
    rows = np.repeat(np.arange(n), DRAWS)
    many = kind.policy(None if mask is None else mask[rows])
    act = many.of.draw(draw, *many.parameters(old, obs[rows]))
    logp, logp_new = (many.logp(theta, obs[rows], act) for theta in (old, new))
    for sampled, expected in (
        (-logp, policy.entropy(old, obs)),
        (logp - logp_new, policy.kl(old, new, obs)),
        (np.exp(logp_new - logp), 1),
    ):
        assert abs(sampled.mean() - expected) < SAMPLING * sampled.std() / np.sqrt(len(rows))


def test_sampled_masks_open_and_forbid_some_choices():
    kind = next(kind for kind in KINDS if kind.masked)
    draw = np.random.default_rng(0)
    mask = kind.mask(draw, 200)
    first, second = np.split(mask, [kind.parts[0]], axis=1)
    assert first.any(axis=1).all()
    assert second.any(axis=1).all()
    assert not mask.all()
    act = kind.actions(draw, 200, mask).astype(int)
    assert first[np.arange(200), act[:, 0]].all()
    assert second[np.arange(200), act[:, 1]].all()


def test_errors_are_relative_to_the_expected_value():
    assert error([1.0, 200.0], [1.0, 100.0]) == 1.0
    assert error([1e-3], [0.0]) == 1e-3
    assert error([1.0], [1.0, 2.0]) == np.inf
    assert error([np.nan], [np.nan]) == np.inf


def test_states_are_compared_bit_for_bit():
    one = {"theta": np.array([0.0, 1.0])}
    assert state_error(one, {"theta": np.array([0.0, 1.0])}) == 0.0
    assert state_error(one, {"theta": np.array([-0.0, 1.0])}) > 0
    assert state_error(one, {"value": np.array([0.0, 1.0])}) == np.inf


def test_lines_show_the_error_and_its_bound():
    assert "2.0e-09 <= 1e-07" in Result("x", Outcome("y", 2e-9, 1e-7)).line()
    assert "3.0e-06 >  1e-07" in Result("x", Outcome("y", 3e-6, 1e-7)).line()
    assert "different bits" in Result("x", Outcome("y", 1e-300, 0.0)).line()
    assert "does not apply" in Result("x", Outcome("y", None, 0.0)).line()
