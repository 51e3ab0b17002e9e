"""Formula strings: parsed safely, evaluated for many vectors at once, differentiated exactly to second order.

What the user typed is never evaluated as Python: `ast` reads it, and only numbers, names, + - * / ** (or ^) and a few
functions are taken. A value is carried through the tree with its first and second derivatives (forward mode).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from chidu.errors import FitError, nearest

__all__ = ["FUNCTIONS", "Formula", "Jet", "Node", "is_formula", "parse"]

Floats = NDArray[np.float64]
Place = TypeVar("Place", int, tuple[int, int])

MOST_CHARACTERS = 2000
MOST_NODES = 400
MOST_PARAMETERS = 16

FUNCTIONS: tuple[str, ...] = ("exp", "log", "sqrt", "sigmoid", "tanh", "min", "max")
"""What a formula may call; log is the natural one."""

Node = tuple[str, "float | str | tuple[Node, ...]"]
"""A node of the tree: ("number", 2.0), ("name", "E") or (operation, operands)."""

_OPERATIONS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}


@dataclass
class Jet:
    """A value for R vectors and all rows, with its derivatives by parameters; shapes (R, rows), (R, 1) or (1, rows).

    A parameter, or a pair of them, that is missing has a derivative of zero.
    """

    value: Floats
    first: dict[int, Floats] = field(default_factory=dict)
    second: dict[tuple[int, int], Floats] = field(default_factory=dict)
    """By pairs i <= j."""


@dataclass(frozen=True)
class Formula:
    """A formula over columns, with the parameters it leaves open."""

    text: str
    parameters: tuple[str, ...]
    """In the order in which they stand in the text."""
    columns: tuple[str, ...]
    """Likewise."""
    tree: Node = field(repr=False)

    def values(self, theta: Floats, inputs: Floats) -> Floats:
        """Return the formula (R, rows) at vectors (R, P) and inputs (columns, rows). NaN where it has no value."""
        found = self.jet(theta, inputs, order=0).value
        return np.asarray(np.broadcast_to(found, (len(theta), inputs.shape[1])))

    def jet(self, theta: Floats, inputs: Floats, order: int = 2) -> Jet:
        """Return the formula with its derivatives up to ``order`` by the parameters."""
        leaves: dict[str, Jet] = {name: Jet(inputs[k : k + 1]) for k, name in enumerate(self.columns)}
        one = np.ones((len(theta), 1))
        for i, name in enumerate(self.parameters):
            leaves[name] = Jet(theta[:, i : i + 1], {i: one} if order else {})
        with np.errstate(all="ignore"):
            return _evaluate(self.tree, leaves, order)

    def is_linear_in(self, names: Collection[str]) -> bool:
        """True where the formula is linear in these parameters together (the others held)."""
        degree = _degree(self.tree, frozenset(names))
        return degree is not None and degree <= 1


def is_formula(text: str) -> bool:
    """True where a law's name is rather a formula: it holds an operation or a call."""
    return any(sign in text for sign in "+-*/^( ") and not text.replace("-", "").replace("_", "").isalnum()


def parse(text: str, columns: Collection[str]) -> Formula:
    """Read a formula; names that are columns are inputs, all others parameters.

    Raises FitError in one line for anything but numbers, names, operations and known functions; for a formula without a
    parameter or a column; for one that is too long.
    """
    where = f"formula {text if len(text) <= 60 else text[:57] + '...'!r}"
    if len(text) > MOST_CHARACTERS:
        raise FitError(f"{where}: longer than {MOST_CHARACTERS} characters")
    try:
        body = ast.parse(text.replace("^", "**").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise FitError(f"{where}: can't be read{at}: write it like 'E + A/params**alpha'") from None
    nodes = sum(1 for _ in ast.walk(body))
    if nodes > 3 * MOST_NODES:
        raise FitError(f"{where}: too long: at most {MOST_NODES} operations and names")
    tree = _read(body, where)
    names = list(dict.fromkeys(_names(tree)))
    inputs = tuple(name for name in names if name in columns)
    parameters = tuple(name for name in names if name not in columns)
    if not inputs:
        likely = next((hint for name in names if (hint := nearest(name, columns))), "")
        raise FitError(f"{where}: names no column of the table{likely}, which has {', '.join(sorted(columns))}")
    if not parameters:
        raise FitError(f"{where}: has no parameter to fit: every name in it is a column")
    if len(parameters) > MOST_PARAMETERS:
        raise FitError(
            f"{where}: {len(parameters)} parameters ({', '.join(parameters)}); at most {MOST_PARAMETERS}: "
            "names that should be columns must be spelled as in the table"
        )
    return Formula(text, parameters, inputs, tree)


def _read(node: ast.expr, where: str) -> Node:
    """Turn Python's tree into ours; refuse what a formula has no use for."""
    match node:
        case ast.Constant(value=bool() | complex() | str() | bytes() | None):
            raise FitError(f"{where}: {ast.unparse(node)} is no number")
        case ast.Constant(value=int() | float() as value):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if not math.isfinite(number):
                raise FitError(f"{where}: a number in it is too large")
            return ("number", number)
        case ast.Name(id=name):
            return ("name", name)
        case ast.BinOp(left, operation, right) if type(operation) in _OPERATIONS:
            return (_OPERATIONS[type(operation)], (_read(left, where), _read(right, where)))
        case ast.UnaryOp(ast.USub(), operand):
            return ("*", (("number", -1.0), _read(operand, where)))
        case ast.UnaryOp(ast.UAdd(), operand):
            return _read(operand, where)
        case ast.Call(ast.Name(id=name), arguments, []):
            return _call(name, [_read(argument, where) for argument in arguments], where)
        case _:
            kind = {ast.Attribute: "a dot", ast.Subscript: "a [bracket]", ast.Compare: "a comparison"}.get(
                type(node), f"{ast.unparse(node)[:30]!r}"
            )
            raise FitError(f"{where}: {kind} has no place in a formula: use + - * / ** and {', '.join(FUNCTIONS)}")


def _call(name: str, arguments: list[Node], where: str) -> Node:
    if name not in FUNCTIONS:
        raise FitError(f"{where}: no function {name!r}{nearest(name, FUNCTIONS)}: it may call {', '.join(FUNCTIONS)}")
    wanted = 2 if name in ("min", "max") else 1
    if len(arguments) != wanted:
        raise FitError(f"{where}: {name} takes {wanted}, not {len(arguments)}")
    return (name, tuple(arguments))


def _operands(node: Node) -> tuple[Node, ...]:
    return node[1] if isinstance(node[1], tuple) else ()


def _names(node: Node) -> list[str]:
    if node[0] == "name":
        return [str(node[1])]
    return [name for operand in _operands(node) for name in _names(operand)]


def _degree(node: Node, names: frozenset[str]) -> int | None:
    """Degree of a polynomial in these names; None where it is none."""
    kind, content = node
    if kind in ("number", "name"):
        return int(content in names)
    degrees = [_degree(operand, names) for operand in _operands(node)]
    if any(degree is None for degree in degrees):
        return None
    known = [degree for degree in degrees if degree is not None]
    if not any(known):
        return 0
    if kind in ("+", "-"):
        return max(known)
    if kind == "*":
        return sum(known)
    return known[0] if kind == "/" and known[1] == 0 else None


def _evaluate(node: Node, leaves: Mapping[str, Jet], order: int) -> Jet:
    kind, content = node
    if kind == "number":
        return Jet(np.array([[content]], dtype=np.float64))
    if kind == "name":
        return leaves[str(content)]
    operands = [_evaluate(operand, leaves, order) for operand in _operands(node)]
    return _RULES[kind](*operands)


def _scaled(jet: Jet, by: Floats | float) -> Jet:
    return Jet(jet.value * by, {i: d * by for i, d in jet.first.items()}, {p: d * by for p, d in jet.second.items()})


def _add(left: Jet, right: Jet) -> Jet:
    return Jet(left.value + right.value, _sum(left.first, right.first), _sum(left.second, right.second))


def _sum(left: Mapping[Place, Floats], right: Mapping[Place, Floats]) -> dict[Place, Floats]:
    found = dict(left)
    for key, term in right.items():
        found[key] = found[key] + term if key in found else term
    return found


def _subtract(left: Jet, right: Jet) -> Jet:
    return _add(left, _scaled(right, -1.0))


def _multiply(left: Jet, right: Jet) -> Jet:
    if not left.first:
        return _scaled(right, left.value)
    if not right.first:
        return _scaled(left, right.value)
    straight = _add(_scaled(left, right.value), _scaled(right, left.value))
    cross: dict[tuple[int, int], Floats] = {}
    for i, a in left.first.items():
        for j, b in right.first.items():
            pair, term = (min(i, j), max(i, j)), a * b
            # The second derivative by one parameter holds the product of both slopes twice.
            term = 2.0 * term if i == j else term
            cross[pair] = cross[pair] + term if pair in cross else term
    return Jet(left.value * right.value, straight.first, _sum(straight.second, cross))


def _chain(jet: Jet, value: Floats, slope: Floats, curve: Floats) -> Jet:
    """Return g(jet), given g, g' and g'' at its value."""
    first = {i: slope * d for i, d in jet.first.items()}
    second = {pair: slope * d for pair, d in jet.second.items()}
    for i, a in jet.first.items():
        for j, b in jet.first.items():
            if i <= j:
                term = curve * (a * b)
                second[i, j] = second[i, j] + term if (i, j) in second else term
    return Jet(value, first, second)


def _divide(left: Jet, right: Jet) -> Jet:
    if not right.first:
        return _scaled(left, 1.0 / right.value)
    inverse = 1.0 / right.value
    return _multiply(left, _chain(right, inverse, -(inverse**2), 2.0 * inverse**3))


def _power(base: Jet, exponent: Jet) -> Jet:
    if not exponent.first:
        p = exponent.value
        return _chain(base, base.value**p, p * base.value ** (p - 1), p * (p - 1) * base.value ** (p - 2))
    # A column to a parameter is the usual case: exp(p log x), the log being a constant.
    return _exp(_multiply(exponent, _log(base)))


def _exp(jet: Jet) -> Jet:
    value = np.exp(np.minimum(jet.value, 700.0))
    return _chain(jet, value, value, value)


def _log(jet: Jet) -> Jet:
    value = np.log(np.where(jet.value > 0, jet.value, np.nan))
    inverse = 1.0 / jet.value
    return _chain(jet, value, inverse, -(inverse**2))


def _sqrt(jet: Jet) -> Jet:
    value = np.sqrt(jet.value)
    return _chain(jet, value, 0.5 / value, -0.25 / (value * jet.value))


def _tanh(jet: Jet) -> Jet:
    value = np.tanh(jet.value)
    slope = 1.0 - value**2
    return _chain(jet, value, slope, -2.0 * value * slope)


def _sigmoid(jet: Jet) -> Jet:
    value = 0.5 * (1.0 + np.tanh(0.5 * jet.value))
    slope = value * (1.0 - value)
    return _chain(jet, value, slope, slope * (1.0 - 2.0 * value))


def _pick(left: Jet, right: Jet, choose: Callable[[Floats, Floats], NDArray[np.bool_]]) -> Jet:
    takes_left = choose(left.value, right.value).astype(np.float64)
    return _add(_scaled_finite(left, takes_left), _scaled_finite(right, 1.0 - takes_left))


def _scaled_finite(jet: Jet, mask: Floats) -> Jet:
    """Mask a jet; what is masked may be infinite."""

    def masked(values: Floats) -> Floats:
        return np.where(mask > 0, values, 0.0)

    return Jet(
        masked(jet.value), {i: masked(d) for i, d in jet.first.items()}, {p: masked(d) for p, d in jet.second.items()}
    )


def _min(left: Jet, right: Jet) -> Jet:
    return _pick(left, right, np.less_equal)


def _max(left: Jet, right: Jet) -> Jet:
    return _pick(left, right, np.greater_equal)


_RULES: Mapping[str, Callable[..., Jet]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "**": _power,
    "exp": _exp,
    "log": _log,
    "sqrt": _sqrt,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "min": _min,
    "max": _max,
}
