"""Formulas are read safely, differentiated exactly, and refused in one line where they make no sense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.errors import FitError
from chidu.laws.formula import is_formula, parse

COLUMNS = ("params", "tokens", "bits")


@pytest.mark.parametrize(
    "text",
    [
        "E + A/params**alpha + B/tokens^beta",
        "E + (A / params^alpha + B / tokens^beta)^kappa",
        "exp(a * log(params) + b) - c * sqrt(tokens / 7) + tanh(d * bits)",
        "floor + rise * sigmoid(steep * (middle - bits))",
        "min(a * params, b * tokens) + max(c, bits * a) - -a * 2.5e-1",
        "a ** b ** bits / (params + c * tokens) ** 2",
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_are_those_of_the_value(text: str, seed: int) -> None:
    formula = parse(text, COLUMNS)
    random = np.random.default_rng(seed)
    inputs = random.uniform(0.5, 2.0, (len(formula.columns), 5))
    theta = random.uniform(0.3, 1.4, (2, len(formula.parameters)))
    jet = formula.jet(theta, inputs)
    np.testing.assert_allclose(np.broadcast_to(jet.value, (2, 5)), formula.values(theta, inputs), rtol=1e-14)
    step = 1e-5
    for i in range(theta.shape[1]):
        move = step * np.eye(theta.shape[1])[i]
        ahead, behind = formula.jet(theta + move, inputs), formula.jet(theta - move, inputs)
        slope = np.broadcast_to(jet.first.get(i, np.zeros((1, 1))), (2, 5))
        np.testing.assert_allclose(slope, (ahead.value - behind.value) / (2 * step), rtol=1e-6, atol=1e-7)
        for j in range(theta.shape[1]):
            none = np.zeros((1, 1))
            bend = np.broadcast_to(jet.second.get((min(i, j), max(i, j)), none), (2, 5))
            moved = (ahead.first.get(j, none) - behind.first.get(j, none)) / (2 * step)
            np.testing.assert_allclose(bend, np.broadcast_to(moved, (2, 5)), rtol=2e-5, atol=2e-6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    E=st.floats(0.1, 5),
    A=st.floats(0.1, 5),
    alpha=st.floats(0.05, 1.5),
    x=st.floats(0.1, 100),
    sign=st.sampled_from("+-"),
)
def test_values_are_those_of_python(E: float, A: float, alpha: float, x: float, sign: str) -> None:
    formula = parse(f"E {sign} A / params ** alpha * 2", ["params"])
    assert formula.parameters == ("E", "A", "alpha")
    expected = E + (1 if sign == "+" else -1) * A / x**alpha * 2
    assert formula.values(np.array([[E, A, alpha]]), np.array([[x]]))[0, 0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('true')", "no place in a formula"),
        ("(lambda: 1)()", "no place in a formula"),
        ("params.real + A", "a dot has no place"),
        ("A * params[0]", r"a \[bracket\] has no place"),
        ("A if params else B", "no place in a formula"),
        ("A < params", "a comparison has no place"),
        ("A * 'x'", "is no number"),
        ("A * True + params", "True is no number"),
        ("A * 9e999 + params", "too large"),
        ("A + sin(params)", "no function 'sin'"),
        ("A + sigmoyd(params)", "did you mean 'sigmoid'"),
        ("min(A)", "min takes 2, not 1"),
        ("E + A/", "can't be read"),
        ("E + A", "names no column"),
        ("params + tokens", "no parameter to fit"),
        ("+".join(f"a{k}*params" for k in range(17)), "17 parameters"),
        ("A*params" + "+1" * 1000, "longer than|too long"),
        ("(" * 500 + "A*params" + ")" * 500, "can't be read|too long"),
        ("A*params; import os", "can't be read"),
    ],
)
def test_what_is_no_formula_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(FitError, match=words) as caught:
        parse(text, COLUMNS)
    assert "\n" not in str(caught.value)


def test_a_name_is_no_formula() -> None:
    assert not is_formula("additive")
    assert not is_formula("data_constrained")
    assert not is_formula("data-constrained")
    assert is_formula("E + A/params**alpha")
    assert is_formula("A*params")


def test_what_a_formula_is_linear_in() -> None:
    formula = parse("E + A / params^alpha + A * B * tokens", COLUMNS)
    assert formula.is_linear_in(["E", "A"])
    assert formula.is_linear_in(["E", "B"])
    assert not formula.is_linear_in(["A", "B"])
    assert not formula.is_linear_in(["alpha"])
