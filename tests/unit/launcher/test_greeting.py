"""What the start says once the shop is ready."""

from __future__ import annotations

import pytest

from launcher.commands import _greet
from launcher.place import Place
from launcher.shop import Shop

KEY = "an-admin-key-of-24-characters"


@pytest.mark.parametrize(("keys", "sent"), [("", False), (KEY, True)])
def test_printed_request_sends_the_admin_key_only_where_one_is_set(
    keys: str, sent: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    _greet(Shop(Place.from_env({"ADMIN_API_KEYS": keys})))
    said = capsys.readouterr().out
    assert ('/api/products/ -H "Authorization: Bearer $ADMIN_KEY"' in said) == sent
    assert KEY not in said


def test_start_names_the_page_that_describes_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    _greet(Shop(Place.from_env({"GATEWAY_PORT": "8123"})))
    assert "http://127.0.0.1:8123/docs/" in capsys.readouterr().out
