"""What a reversal of a tax transaction takes back: all of it, given lines, or a flat amount of what is left.

Source: https://docs.stripe.com/tax/custom#reversals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sandbox.state import State
from sandbox.stripe.endpoint import Parameters
from sandbox.stripe.errors import StripeFailure, invalid
from sandbox.stripe.params import merged

MAX_PARTIAL_REVERSALS: Final = 30
_SHIPPING = "shipping_cost"


def reversed_amounts(state: State, original: Parameters, asked: Parameters) -> tuple[list[Parameters], Any]:
    """Return the lines and the shipping cost (None: none) of a reversal, all amounts negative for a sale's.

    StripeFailure (400) for a transaction that is already fully reversed, and for more than is left of it. A full
    reversal takes back the whole transaction, and does not count its partial reversals: Stripe expects the caller to
    undo those by a full reversal of each.
    """
    if _is_reversed(state, original["id"]):
        raise StripeFailure(
            f"The tax transaction {original['id']} has already been fully reversed.", param="original_transaction"
        )
    given = [name for name in ("line_items", _SHIPPING, "flat_amount") if name in asked]
    if asked["mode"] == "full":
        if given:
            raise invalid(f"You may only pass `{given[0]}` when `mode` is `partial`.", given[0])
        return _all_of(original)
    if original["type"] == "reversal":
        raise StripeFailure("A reversal can only be reversed with `mode` `full`.", param="mode")
    if not given:
        raise invalid(
            "You must pass `line_items`, `shipping_cost` or `flat_amount` when `mode` is `partial`.",
            "line_items",
            "parameter_missing",
        )
    if "flat_amount" in given and len(given) > 1:
        message = "You may only specify one of these parameters: flat_amount, line_items, shipping_cost."
        raise invalid(message, "flat_amount", "parameters_exclusive")
    partial = [each for each in _reversals(state, original["id"]) if each["_mode"] == "partial"]
    if len(partial) >= MAX_PARTIAL_REVERSALS:
        raise StripeFailure(
            f"A tax transaction can have at most {MAX_PARTIAL_REVERSALS} partial reversals.",
            param="original_transaction",
        )
    left = _Left(original)
    for each in partial:
        if not _is_reversed(state, each["id"]):
            left.subtract(each)
    return left.flat(asked["flat_amount"]) if "flat_amount" in given else left.given(asked)


def _reversals(state: State, transaction: str) -> Iterator[Parameters]:
    return state.each("tax_transaction", {"original_transaction": transaction})


def _is_reversed(state: State, transaction: str) -> bool:
    """Whether a full reversal of the transaction exists that is not itself reversed."""
    return any(
        each["_mode"] == "full" and not _is_reversed(state, each["id"]) for each in _reversals(state, transaction)
    )


def _all_of(original: Parameters) -> tuple[list[Parameters], Any]:
    cost = original[_SHIPPING]
    return (
        [_reversed_line(line, -line["amount"], -line["amount_tax"]) for line in original["_lines"]],
        cost and {**cost, "amount": -cost["amount"], "amount_tax": -cost["amount_tax"]},
    )


def _reversed_line(line: Parameters, amount: int, amount_tax: int, **more: Any) -> Parameters:
    kept = ("product", "quantity", "reference", "tax_behavior", "tax_code")
    return {
        **{name: line[name] for name in kept},
        "metadata": None,
        "reversal": {"original_line_item": line["id"]},
        **more,
        "amount": amount,
        "amount_tax": amount_tax,
    }


class _Left:
    """What is left to reverse of a sale, per line and of the shipping cost."""

    def __init__(self, original: Parameters) -> None:
        self._lines = {line["id"]: line for line in original["_lines"]}
        self._cost = original[_SHIPPING]
        items = [*original["_lines"], *([{**self._cost, "id": _SHIPPING}] if self._cost else [])]
        self._amounts = {item["id"]: (item["amount"], item["amount_tax"]) for item in items}
        self._inclusive = {item["id"] for item in items if item["tax_behavior"] == "inclusive"}

    def subtract(self, reversal: Parameters) -> None:
        """Take off what an earlier reversal took back."""
        for line in reversal["_lines"]:
            self._take(line["reversal"]["original_line_item"], line["amount"], line["amount_tax"])
        if reversal[_SHIPPING]:
            self._take(_SHIPPING, reversal[_SHIPPING]["amount"], reversal[_SHIPPING]["amount_tax"])

    def _take(self, item: str, amount: int, amount_tax: int) -> None:
        """amount, amount_tax: negative."""
        before, tax_before = self._amounts[item]
        self._amounts[item] = (before + amount, tax_before + amount_tax)

    def given(self, asked: Parameters) -> tuple[list[Parameters], Any]:
        """Return the lines and the shipping cost that were asked for."""
        lines = []
        for number, item in enumerate(asked.get("line_items", [])):
            param = f"line_items[{number}]"
            line = self._lines.get(item["original_line_item"])
            if line is None:
                raise StripeFailure(
                    f"No such line item: '{item['original_line_item']}'",
                    code="resource_missing",
                    param=f"{param}[original_line_item]",
                )
            self._check(line["id"], item, param)
            more = {"metadata": merged({}, item.get("metadata")) or None, "reference": item["reference"]}
            if "quantity" in item:
                more["quantity"] = item["quantity"]
            lines.append(_reversed_line(line, item["amount"], item["amount_tax"], **more))
        cost = asked.get(_SHIPPING)
        if cost is None:
            return lines, None
        if self._cost is None:
            raise StripeFailure("The original transaction has no shipping cost.", param=_SHIPPING)
        self._check(_SHIPPING, cost, _SHIPPING)
        return lines, {**self._cost, **cost}

    def _check(self, item: str, asked: Parameters, param: str) -> None:
        left = self._amounts[item]
        for name, most in zip(("amount", "amount_tax"), left, strict=True):
            if asked[name] > 0:
                raise invalid(f"Invalid {name}: must be negative or 0.", f"{param}[{name}]")
            if -asked[name] > most:
                raise StripeFailure(
                    f"The {name} to reverse ({asked[name]}) is more than what is left to reverse ({-most}).",
                    param=f"{param}[{name}]",
                )
        self._take(item, asked["amount"], asked["amount_tax"])

    def flat(self, flat_amount: int) -> tuple[list[Parameters], Any]:
        """Return the lines and the shipping cost that share a flat amount, in proportion to what is left of each."""
        totals = {
            item: amount if item in self._inclusive else amount + tax for item, (amount, tax) in self._amounts.items()
        }
        if flat_amount >= 0:
            raise invalid("Invalid flat_amount: must be negative.", "flat_amount")
        if -flat_amount > sum(totals.values()):
            raise StripeFailure(
                f"The flat_amount to reverse ({flat_amount}) is more than what is left to reverse "
                f"({-sum(totals.values())}).",
                param="flat_amount",
            )
        parts = {}
        for item, part in _shares(-flat_amount, totals).items():
            part_tax = _proportion(part, self._amounts[item][1], totals[item])
            parts[item] = (-(part if item in self._inclusive else part - part_tax), -part_tax)
        cost = self._cost and {**self._cost, "amount": parts[_SHIPPING][0], "amount_tax": parts[_SHIPPING][1]}
        return [_reversed_line(line, *parts[line["id"]]) for line in self._lines.values()], cost


def _shares(amount: int, weights: dict[str, int]) -> dict[str, int]:
    """Divide an amount in proportion to the weights; the parts have exactly this sum.

    What rounding leaves goes, one unit each, to the largest remainders.
    """
    total = sum(weights.values())
    parts = {item: amount * weight // total for item, weight in weights.items()}
    rest = sorted(weights, key=lambda item: amount * weights[item] % total, reverse=True)
    for item in rest[: amount - sum(parts.values())]:
        parts[item] += 1
    return parts


def _proportion(part: int, share: int, total: int) -> int:
    """Return part * share / total, rounded half up; 0 of nothing."""
    return (2 * part * share + total) // (2 * total) if total else 0
