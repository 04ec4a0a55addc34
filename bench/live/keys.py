"""The keys of the providers' test modes, from the environment; keys that move real money are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import requests

from bench.conformance.exchanges import ANSWER_TIMEOUT_S, basic
from bench.conformance.sandbox_process import HEADERS
from launcher.problem import Problem
from sandbox import settings

BASES = {
    "stripe": "https://api.stripe.com",
    "shippo": "https://api.goshippo.com",
    "twilio": "https://api.twilio.com",
    "sendgrid": "https://api.sendgrid.com",
}
VARIABLES = {
    "stripe": ("STRIPE_API_KEY",),
    "shippo": ("SHIPPO_API_KEY",),
    "twilio": ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    "sendgrid": ("SENDGRID_API_KEY", "MAIL_FROM"),
}
# How a key of a test mode begins. Twilio's and SendGrid's keys do not show their mode.
TEST_PREFIXES = {"stripe": ("sk_test_", "rk_test_"), "shippo": ("shippo_test_",)}
NAMES = tuple(BASES)


@dataclass(frozen=True)
class Access:
    """How to reach one provider: its address, and the headers with the key."""

    base: str
    headers: Mapping[str, str]


def accesses(names: tuple[str, ...], environment: Mapping[str, str], at: str | None = None) -> dict[str, Access]:
    """Return how to reach each of the providers.

    Args:
        names: of the providers.
        environment: has their keys.
        at: the address of a sandbox that stands in for all of them; its own keys are used then.

    Raises Problem without a key, and for a key that is not one of a test mode.
    """
    if at is not None:
        return {name: Access(f"{at.rstrip('/')}/{name}", HEADERS[name]) for name in names}
    missing = [variable for name in names for variable in VARIABLES[name] if not environment.get(variable)]
    if missing:
        raise Problem(
            f"bench live needs the keys of the providers' test modes. Not set: {', '.join(missing)}. --providers names "
            f"fewer of {', '.join(NAMES)}."
        )
    for name in names:
        key, prefixes = environment[VARIABLES[name][0]], TEST_PREFIXES.get(name)
        if prefixes is not None and not key.startswith(prefixes):
            raise Problem(f"{VARIABLES[name][0]} is no key of a test mode: it must begin with {' or '.join(prefixes)}.")
    return {name: Access(BASES[name], _headers(name, environment)) for name in names}


def check_twilio(access: Access, account: str) -> None:
    """Raise Problem when Twilio's credentials are not test credentials.

    Test credentials can read no account: https://www.twilio.com/docs/iam/test-credentials
    """
    answer = requests.get(
        f"{access.base}/2010-04-01/Accounts/{account}.json", headers=dict(access.headers), timeout=ANSWER_TIMEOUT_S
    )
    if answer.status_code == 200:
        raise Problem(
            "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are live credentials; bench live takes test credentials."
        )


def contacts(environment: Mapping[str, str], at: str | None) -> dict[str, str]:
    """Return the account and the addresses that the tours use. Nothing is sent to them."""
    return {
        "account": settings.TWILIO_ACCOUNT if at else environment.get("TWILIO_ACCOUNT_SID", ""),
        "mail": "nobody@example.com",
        "sender": environment.get("MAIL_FROM") or "shop@example.com",
        "number": "+14155550123",
    }


def _headers(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    values = [environment[variable] for variable in VARIABLES[name]]
    if name == "twilio":
        return basic(values[0], values[1])
    return {"Authorization": f"{'ShippoToken' if name == 'shippo' else 'Bearer'} {values[0]}"}
