"""Messages at Twilio that are canceled, redacted and deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest.api.v2010.account.message import MessageInstance

from tests.integration.providers.sandbox.gateways import CALLBACK, Gateway, until
from tests.integration.providers.sandbox.process import Sdks

FROM, TO, SERVICE = "+15005550006", "+14155550177", "MG" + "0" * 32


def scheduled(sdks: Sdks, **more: str) -> MessageInstance:
    now = datetime.fromtimestamp(sdks.get("/sandbox/clock").json()["now"], UTC)
    return sdks.twilio.messages.create(
        to=TO, body="Soon", messaging_service_sid=SERVICE, schedule_type="fixed",
        send_at=now + timedelta(hours=1), **more,
    )  # fmt: skip


def sent(sdks: Sdks) -> MessageInstance:
    message = sdks.twilio.messages.create(to=TO, from_=FROM, body="Hello")
    sdks.post("/sandbox/clock", json={"advance_seconds": 10})
    return message


def test_scheduled_message_is_canceled_for_ever(sdks: Sdks) -> None:
    message = scheduled(sdks)
    assert message.update(status="canceled").status == "canceled"

    sdks.post("/sandbox/clock", json={"advance_seconds": 7200})
    found = sdks.twilio.messages(str(message.sid)).fetch()
    assert (found.status, found.date_sent, found.price) == ("canceled", None, None)
    assert message.sid in [each.sid for each in sdks.twilio.messages.list(to=TO)]


def test_message_that_is_not_scheduled_cannot_be_canceled(sdks: Sdks) -> None:
    with pytest.raises(TwilioRestException) as refused:
        sent(sdks).update(status="canceled")
    assert (refused.value.status, refused.value.code) == (400, 30409)


def test_canceled_message_reports_only_its_cancellation(webhook_sdks: Sdks, received: Gateway) -> None:
    message = scheduled(webhook_sdks, status_callback=CALLBACK)
    message.update(status="canceled")
    webhook_sdks.post("/sandbox/clock", json={"advance_seconds": 7200})
    after = webhook_sdks.twilio.messages.create(to=TO, from_=FROM, body="After", status_callback=CALLBACK)
    webhook_sdks.post("/sandbox/clock", json={"advance_seconds": 60})

    until(lambda: any(str(after.sid) in one.body.decode() for one in received.of("twilio")))
    own = [one.body.decode() for one in received.of("twilio") if str(message.sid) in one.body.decode()]
    assert len(own) == 1
    assert "MessageStatus=canceled" in own[0]


def test_text_of_a_message_is_redacted(sdks: Sdks) -> None:
    message = sent(sdks)
    assert message.update(body="").body == ""
    assert sdks.twilio.messages(str(message.sid)).fetch().status == "delivered"


@pytest.mark.parametrize("change", [{"Body": "Other"}, {"Status": "sent"}, {"To": TO}])
def test_other_changes_of_a_message_are_refused(sdks: Sdks, change: dict[str, str]) -> None:
    account = "AC" + "0" * 32
    path = f"/twilio/2010-04-01/Accounts/{account}/Messages/{sent(sdks).sid}.json"
    answer = sdks.post(path, data=change, auth=(account, "sandbox"))
    assert (answer.status_code, answer.json()["code"]) == (400, 20001)


def test_deleted_message_is_gone(sdks: Sdks) -> None:
    message = sent(sdks)
    assert message.delete()
    with pytest.raises(TwilioRestException) as missing:
        sdks.twilio.messages(str(message.sid)).fetch()
    assert missing.value.status == 404


def test_message_on_its_way_can_neither_be_deleted_nor_redacted(sdks: Sdks) -> None:
    message = scheduled(sdks)
    for change in (message.delete, lambda: message.update(body="")):
        with pytest.raises(TwilioRestException) as refused:
            change()
        assert refused.value.code == 20009
