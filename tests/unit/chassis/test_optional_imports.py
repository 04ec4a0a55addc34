"""Import a library without its optional dependencies."""

from __future__ import annotations

import importlib
import sys

import pytest

from chassis.optional_imports import without


def test_hidden_package_cannot_be_imported() -> None:
    with without("json", "colorsys"):
        for name in ("json", "colorsys"):
            with pytest.raises(ImportError):
                importlib.import_module(name)


def test_hidden_package_is_back_after_a_failed_import() -> None:
    before = sys.modules["json"]
    sys.modules.pop("colorsys", None)
    with pytest.raises(ImportError), without("json", "colorsys"):
        importlib.import_module("json")
    assert importlib.import_module("json") is before
    assert importlib.import_module("colorsys").__name__ == "colorsys"
