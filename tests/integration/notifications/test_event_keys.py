"""The key of SendGrid's webhook signatures is fetched over HTTP."""

from __future__ import annotations

import pytest

from contracts.errors import Unavailable
from notifications.sendgrid.webhooks import public_key
from tests.scripted_server import Scripted, ScriptedServer


def test_sendgrid_is_asked_for_its_key(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(200, b'{"public_key": "MFk"}')]
    assert public_key("SG.key", scripted.url, 10.0) == "MFk"
    method, path, headers, _body = scripted.asked[0]
    assert (method, path) == ("GET", "/v3/user/webhooks/event/settings/signed")
    assert headers["Authorization"] == "Bearer SG.key"
    for answer in (
        Scripted(401, b"{}"),
        Scripted(200, b"[]"),
        Scripted(200, b'{"public_key": ""}'),
        Scripted(drop=True),
    ):
        scripted.answers = [answer]
        with pytest.raises(Unavailable):
            public_key("SG.key", scripted.url, 10.0)
