"""Mail through SendGrid's SDK. SendGrid's terms and failure modes do not pass beyond this adapter."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from python_http_client import Client
from python_http_client.client import Response
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

from chassis.deadline import bounded
from chassis.fair_scheduling import away
from chassis.logs import log
from chassis.providers.guard import FAIR_WAIT_S, Guard, NotSent
from chassis.providers.http_session import look_again
from contracts.contacts import ascii_mail_address, without_contacts
from contracts.errors import OutcomeUnknown, ProviderFailure, Refused, ShopError, Unavailable
from notifications.rules.messages import Mail

RETRY_AFTER = 5  # seconds, if SendGrid gives none
# SendGrid's fields, and the names that the shop's callers use for them.
FIELDS = {"personalizations": "to_email", "from": "from_email", "subject": "subject", "content": "content"}


# SendGrid drops mail to a mailbox that marked mail of the account as spam, or unsubscribed; a receipt is sent all the
# same. Bounced addresses stay excluded: the mail would bounce again.
# https://www.twilio.com/docs/sendgrid/ui/sending-email/index-suppressions#bypass-suppressions
RECEIPT = {
    "bypass_spam_management": {"enable": True},
    "bypass_unsubscribe_management": {"enable": True},
}


class SendGridMailer:
    """SendGrid as an implementation of the port `notifications.rules.email.Mailer`.

    Args:
        key: the API key.
        base: the URL to use instead of SendGrid's own, or None.
        timeout: seconds for each wait on the network; the SDK has a single timeout for connecting and reading.
    """

    def __init__(self, key: str, base: str | None, timeout: float) -> None:
        sendgrid = SendGridAPIClient(key, **({"host": base} if base else {}))
        self._timeout = timeout
        self.longest_call = 2 * timeout
        self._guard = Guard("SendGrid")
        self._endpoint = SendGridEndpoint(
            host=sendgrid.client.host,
            request_headers=dict(sendgrid.client.request_headers),
            version=3,
            url_path=["mail", "send"],
        )

    def send(self, mail: Mail) -> str:
        """See the port."""
        timeout = bounded(self._timeout)
        if timeout <= 0:
            raise Unavailable("No time is left to send the mail.", {"retry_after": RETRY_AFTER})
        try:
            answer = self._post(_body(mail), timeout)
        except NotSent as error:
            raise Unavailable("SendGrid cannot be reached.", {"retry_after": error.retry_after}) from error
        except HTTPError as error:
            raise _answered(error) from error
        except urllib.error.URLError as error:
            log.warning("sendgrid cannot be reached", error=str(error.reason))
            raise _not_answered(error.reason) from error
        except (OSError, http.client.HTTPException) as error:
            log.warning("sendgrid does not answer", error=type(error).__name__)
            raise OutcomeUnknown("SendGrid did not say whether it took the mail.") from error
        if answer.status_code != 202:
            log.error("sendgrid's answer is invalid", status=answer.status_code)
            raise ProviderFailure(f"SendGrid answered with status {answer.status_code}.")
        return str(answer.headers.get("X-Message-Id") or "")

    def _post(self, body: dict[str, Any], timeout: float) -> Response:
        with away(), self._guard.calling() as call:
            call.hurried = True
            look_again()
            call.hurried = timeout < min(self._timeout, FAIR_WAIT_S)
            try:
                # Never pass request_headers here: the SDK would send them with every later mail, too.
                answer = self._endpoint.post(request_body=body, timeout=timeout)
            except HTTPError as error:
                call.status = int(error.status_code)
                raise
            call.status = answer.status_code
            return answer


class SendGridEndpoint(Client):
    """Return the SDK's client for one path, without redirects: following one would turn a POST into a GET, and forward
    the key."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        trusted = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=trusted))

    def _make_request(
        self, opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout: float | None = None
    ) -> Any:
        return super()._make_request(self._opener, request, timeout=timeout)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def _body(mail: Mail) -> dict[str, Any]:
    """Build the request by hand: the SDK's Mail helper silently drops a second recipient, and fails on an invalid
    one."""
    # SendGrid requires the plain part first: a mail reader shows the last part that it supports.
    parts = (("text/plain", mail.text), ("text/html", mail.html))
    return {
        "from": {"email": ascii_mail_address(mail.sender)},
        "subject": mail.subject,
        "personalizations": [
            {
                "to": [{"email": ascii_mail_address(mail.to)}],
                # SendGrid's events carry the first as the mail's key; the second is for a person who has the mail.
                "custom_args": {"message_key": mail.key},
                "headers": {"X-Shop-Message": quote(mail.key, safe=":@/")},
            }
        ],
        "content": [{"type": kind, "value": value} for kind, value in parts if value],
        **({"mail_settings": RECEIPT} if mail.receipt else {}),
    }


def _answered(error: HTTPError) -> ShopError:
    """Return the error for an answer that is not a success."""
    status = int(error.status_code)
    errors = _field_errors(error.body)
    if status in (400, 413, 422):
        said = " ".join(message for field in errors.values() for message in field)
        # A retry cannot change a mail's address or size.
        permanent = "to_email" in errors or status == 413
        return Refused(said or "SendGrid refuses this mail.", {"errors": errors, "permanent": permanent})
    if status >= 500 and status != 503:
        # SendGrid failed to process the mail, or a gateway left the request running behind it. It is impossible to ask
        # which.
        log.warning("sendgrid failed", status=status)
        return OutcomeUnknown("SendGrid failed while it was given the mail.", {"retry_after": RETRY_AFTER})
    if status in (429, 503):
        log.warning("sendgrid fails", status=status)
        return Unavailable("SendGrid is not available.", {"retry_after": _retry_after(error)})
    # 401 and 403 say that our key or sender is wrong; any other status is unexpected here.
    log.error("sendgrid refuses the shop", status=status, said=errors)
    if status in (401, 403):
        said = " ".join(message for field in errors.values() for message in field) or f"status {status}"
        return ProviderFailure(f"SendGrid refuses the shop, not the mail: {said}", {"ours": True})
    return ProviderFailure(f"SendGrid answered with status {status}.")


def _not_answered(reason: Any) -> ShopError:
    """Return the error for a failure before the answer: urllib wraps failures of connecting and of sending alike."""
    if isinstance(reason, ConnectionResetError | BrokenPipeError):
        return OutcomeUnknown("The connection to SendGrid broke while it was given the mail.")
    return Unavailable("SendGrid cannot be reached.", {"retry_after": RETRY_AFTER})


def _field_errors(body: Any) -> dict[str, list[str]]:
    """Return SendGrid's ``{"errors": [{"message", "field"}]}`` as field to messages, in the shop's terms."""
    try:
        given = json.loads(body)["errors"]
        errors: dict[str, list[str]] = {}
        for each in given:
            field = str(each.get("field") or "mail")
            errors.setdefault(FIELDS.get(field.partition(".")[0], field), []).append(
                without_contacts(str(each["message"]))
            )
        return errors
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _retry_after(error: HTTPError) -> int:
    value = str(error.headers.get("Retry-After") or "") if error.headers else ""
    return min(int(value), 3600) if value.isdigit() else RETRY_AFTER
