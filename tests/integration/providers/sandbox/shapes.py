"""Checks JSON bodies against the annotations of Stripe's own classes, and parameters against its TypedDicts."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe import StripeObject
from stripe._stripe_object import UntypedStripeObject
from stripe.tax import CalculationLineItem, TransactionLineItem

_UNIONS = (Union, types.UnionType)
# Names of annotations that are no variables of `stripe`: `stripe.tax` loads a class when it is first named, and the
# balance transaction calls some classes by another name.
_OTHER_NAMES = {
    "CalculationLineItem": CalculationLineItem,
    "TransactionLineItem": TransactionLineItem,
    "DisputeResource": stripe.Dispute,
    "IssuingDisputeResource": stripe.issuing.Dispute,
    "Authorization": stripe.issuing.Authorization,
    "Transaction": stripe.issuing.Transaction,
}


def body_problems(body: Any, cls: type, where: str = "") -> Iterator[str]:
    """Yield where `body` differs from `cls`: a missing required field, an unknown field, or a wrong type."""
    if not isinstance(body, dict):
        yield f"{where}: not an object"
        return
    fields = {name: kind for base in reversed(cls.__mro__) if issubclass(base, StripeObject)
              for name, kind in inspect.get_annotations(base).items()
              if not name.startswith("_") and get_origin(kind) is not typing.ClassVar}  # fmt: skip
    for name in body:
        if name not in fields:
            yield f"{where}.{name}: unknown"
    for name, kind in fields.items():
        if name in body:
            yield from _value_problems(body[name], kind, f"{where}.{name}")
        elif type(None) not in get_args(kind):
            yield f"{where}.{name}: missing"


def _value_problems(value: Any, kind: Any, where: str) -> Iterator[str]:
    if isinstance(kind, ForwardRef | str):
        kind = _named(kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind)
    origin, options = get_origin(kind), get_args(kind)
    if origin in _UNIONS:
        if value is None and type(None) in options:
            return
        rest = [option for option in options if option is not type(None)]
        # The SDK declares the Literals next to an open `str`; here only the Literals are valid.
        literals = [option for option in rest if get_origin(option) is Literal]
        if literals and isinstance(value, str):
            rest = literals
        found = [list(_value_problems(value, option, where)) for option in rest]
        if all(found):
            yield from min(found, key=len)
    elif origin is Literal:
        if value not in options:
            yield f"{where}: {value!r} is none of {options}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: not a list"
        else:
            for index, item in enumerate(value):
                yield from _value_problems(item, options[0], f"{where}[{index}]")
    elif origin is UntypedStripeObject:
        for key, item in value.items() if isinstance(value, dict) else [("", None)]:
            yield from _value_problems(item, options[0], f"{where}.{key}")
    elif origin is not None and isinstance(origin, type) and issubclass(origin, StripeObject):  # ListObject[Refund]
        for item in value["data"] if isinstance(value, dict) else [None]:
            yield from _value_problems(item, options[0], f"{where}.data")
    elif kind is Any:
        return
    elif isinstance(kind, type) and issubclass(kind, StripeObject):
        yield from body_problems(value, kind, where)
    elif kind is Decimal:
        if not isinstance(value, str):
            yield f"{where}: not the text of a decimal"
    elif kind is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            yield f"{where}: not a number"
    elif kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{where}: not a whole number"
    elif not isinstance(value, kind):
        yield f"{where}: {value!r} is no {kind.__name__}"


def _named(name: str) -> Any:
    if hasattr(stripe, name):
        return getattr(stripe, name)
    return eval(name, {**vars(typing), **vars(stripe), **_OTHER_NAMES})  # noqa: S307 - an annotation of the SDK


class Parameter(typing.NamedTuple):
    """A request parameter as Stripe's TypedDict describes it.

    kinds: any of int, bool, str, decimal, float, list, map, object.
    fields: the parameters of the object; item: the type of the list's items.
    """

    required: bool
    unsettable: bool
    kinds: frozenset[str]
    choices: frozenset[str]
    fields: dict[str, Parameter]
    item: Parameter | None


def parameters(typed_dict: Any) -> dict[str, Parameter]:
    """Return the parameters that a TypedDict of `stripe.params` allows."""
    options = set(stripe.RequestOptions.__annotations__)
    module = vars(__import__(typed_dict.__module__, fromlist=["x"]))
    return {
        name: _parameter(kind, name in typed_dict.__required_keys__, module)
        for name, kind in typed_dict.__annotations__.items()
        if name not in options
    }


def _parameter(kind: Any, required: bool, module: dict[str, Any]) -> Parameter:
    kinds, choices, fields, item, unsettable = set(), set(), {}, None, False
    for option in _flat(kind, module):
        origin = get_origin(option)
        if origin is Literal:
            given = set(get_args(option))
            unsettable |= "" in given
            choices |= given - {""}
            if given - {""}:
                kinds.add("str")
        elif origin is list:
            kinds.add("list")
            item = _parameter(get_args(option)[0], True, module)
        elif origin in (dict, UntypedStripeObject):
            kinds.add("map")
        elif typing.is_typeddict(option) or hasattr(option, "__required_keys__"):
            kinds.add("object")
            fields = parameters(option)
        else:
            kinds.add({Decimal: "decimal"}.get(option, option.__name__))
    return Parameter(required, unsettable, frozenset(kinds), frozenset(choices), fields, item)


def _flat(kind: Any, module: dict[str, Any]) -> Iterator[Any]:
    if isinstance(kind, ForwardRef | str):
        kind = eval(kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind, module)  # noqa: S307
    origin = get_origin(kind)
    if origin is not None and getattr(origin, "_name", "") == "NotRequired":
        yield from _flat(get_args(kind)[0], module)
    elif origin in _UNIONS:
        for option in get_args(kind):
            yield from _flat(option, module)
    else:
        yield kind
