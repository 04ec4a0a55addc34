"""The types of Stripe's request parameters: validation of the form's strings, and conversion to values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.stripe.errors import StripeFailure, invalid, missing_object

UNSET = ""  # result of an empty string for a parameter that accepts it: the caller removes the value


class Type:
    """A parameter's type. required: it must be given. unsettable: "" is accepted and removes the value."""

    def __init__(self, *, required: bool = False, unsettable: bool = False) -> None:
        self.required = required
        self.unsettable = unsettable

    def read(self, value: Any, name: str) -> Any:
        """Return the value of the form's text; StripeFailure (400) when it is not of this type."""
        if value == "":
            if self.unsettable:
                return UNSET
            raise invalid(
                f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
                f"however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty "
                "value.",
                name,
                "parameter_invalid_empty",
            )
        return self.convert(value, name)

    def convert(self, value: Any, name: str) -> Any:
        """Return the value of a text that is not empty."""
        raise NotImplementedError


class Str(Type):
    """Text of at most `limit` characters; with `choices`, one of them."""

    def __init__(self, *, limit: int = 5000, choices: tuple[str, ...] = (), **more: bool) -> None:
        super().__init__(**more)
        self.limit = limit
        self.choices = choices

    def convert(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {name} must be a string", name)
        if len(value) > self.limit:
            raise invalid(f"Invalid string: {value[:20]}...; must be at most {self.limit} characters", name)
        if self.choices and value not in self.choices:
            raise invalid(f"Invalid {name}: must be one of {', '.join(self.choices)}", name)
        return value


class Int(Type):
    """A whole number, at least `least` and at most `most`."""

    def __init__(self, *, least: int | None = None, most: int | None = None, **more: bool) -> None:
        super().__init__(**more)
        self.least = least
        self.most = most

    def convert(self, value: Any, name: str) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,15}", value):
            raise invalid(f"Invalid integer: {str(value)[:40]}", name, "parameter_invalid_integer")
        number = int(value)
        if self.least is not None and number < self.least:
            raise invalid(
                f"This value must be greater than or equal to {self.least}.", name, "parameter_invalid_integer"
            )
        if self.most is not None and number > self.most:
            message = f"This value must be less than or equal to {self.most}."
            raise invalid(message, name, "parameter_invalid_integer")
        return number


class Bool(Type):
    """`true` or `false`."""

    def convert(self, value: Any, name: str) -> bool:
        if value not in ("true", "false"):
            raise invalid(f"Invalid boolean: {str(value)[:40]}", name)
        return bool(value == "true")


class Number(Type):
    """A decimal number above zero; kept as a float (package dimensions)."""

    def convert(self, value: Any, name: str) -> float:
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise invalid(f"Invalid decimal: {str(value)[:40]}", name) from None
        if not number.is_finite() or number < 0:
            raise invalid(f"Invalid decimal: {str(value)[:40]}", name)
        return float(number)


class DecimalText(Type):
    """A decimal number of cents with at most twelve decimal places; kept as its text."""

    def convert(self, value: Any, name: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):
            raise invalid(f"Invalid decimal: {str(value)[:40]}", name)
        return value


class Missing(Type):
    """The id of an object of a kind that the sandbox has none of, such as a customer: there is never one."""

    def __init__(self, noun: str, **more: bool) -> None:
        super().__init__(**more)
        self.noun = noun

    def convert(self, value: Any, name: str) -> Any:
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {name} must be a string", name)
        raise missing_object(self.noun, value[:100], param=name, in_path=False)


class ListOf(Type):
    """A list of at most `most` values of one type."""

    def __init__(self, item: Type, *, most: int = 100, **more: bool) -> None:
        super().__init__(**more)
        self.item = item
        self.most = most

    def convert(self, value: Any, name: str) -> list[Any]:
        if not isinstance(value, dict) or not all(key.isdigit() for key in value):
            raise invalid("Invalid array", name)
        if len(value) > self.most:
            raise invalid(f"Too many values for {name}: at most {self.most} are allowed", name)
        return [self.item.read(value[key], f"{name}[{key}]") for key in sorted(value, key=int)]


class Obj(Type):
    """An object with these fields and no others."""

    def __init__(self, fields: Mapping[str, Type], **more: bool) -> None:
        super().__init__(**more)
        self.fields = fields

    def convert(self, value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise invalid("Invalid object", name)
        return read_fields(self.fields, value, name)


class Metadata(Type):
    """Up to 50 texts of 500 characters under keys of 40; "" removes a key, "" for the whole removes all."""

    def convert(self, value: Any, name: str) -> dict[str, str]:
        if not isinstance(value, dict):
            raise invalid("Invalid object", name)
        if len(value) > 50:
            raise invalid("Metadata can have at most 50 keys.", name)
        for key, text in value.items():
            if not isinstance(text, str):
                raise invalid(f"Invalid string: {name}[{key}] must be a string", f"{name}[{key}]")
            if len(key) > 40:
                raise invalid(f"Metadata keys can have up to 40 characters, but you passed in {len(key)}", name)
            if len(text) > 500:
                raise invalid(
                    f"Metadata values can have up to 500 characters, but you passed in a value that is {len(text)} "
                    f"characters. Invalid value: {text[:20]}...",
                    f"{name}[{key}]",
                )
        return value


def merged(old: Mapping[str, str], new: Any) -> dict[str, str]:
    """Return the metadata after an update: new keys replace old ones, "" removes one (or all, instead of the whole)."""
    if new is None:
        return dict(old)
    if new == UNSET:
        return {}
    result = {key: text for key, text in {**old, **new}.items() if text != ""}
    if len(result) > 50:
        raise invalid("Metadata can have at most 50 keys.", "metadata")
    return result


def read_fields(fields: Mapping[str, Type], values: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Parse the values of `fields` from the form's texts; StripeFailure (400) for one unknown, missing or malformed."""
    unknown = [name for name in values if name not in fields]
    if unknown:
        names = [f"{within}[{name}]" if within else name for name in unknown]
        if names == ["payment_method_types"]:
            raise _payment_method_types()
        plural = "s" if len(names) > 1 else ""
        raise invalid(f"Received unknown parameter{plural}: {', '.join(names)}", names[0], "parameter_unknown")
    result = {}
    for name, kind in fields.items():
        full = f"{within}[{name}]" if within else name
        if name in values:
            result[name] = kind.read(values[name], full)
        elif kind.required:
            raise invalid(f"Missing required param: {full}.", full, "parameter_missing")
    return result


def _payment_method_types() -> StripeFailure:
    return invalid(
        "The `payment_method_types` parameter is no longer supported. Use `automatic_payment_methods` or "
        "`allowed_payment_method_types` instead.",
        "payment_method_types",
        "payment_method_types_no_longer_supported",
    )


EXPAND = ListOf(Str(limit=200), most=30)


class CreatedRange(Type):
    """`created`: a time, or limits for it."""

    def convert(self, value: Any, name: str) -> dict[str, int]:
        if isinstance(value, str):
            moment = Int().read(value, name)
            return {"gte": moment, "lte": moment}
        return Obj({bound: Int() for bound in ("gt", "gte", "lt", "lte")}).convert(value, name)


PAGE: dict[str, Type] = {
    "expand": EXPAND,
    "limit": Int(),
    "starting_after": Str(),
    "ending_before": Str(),
}
