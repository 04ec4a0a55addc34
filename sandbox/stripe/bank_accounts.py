"""Stripe's test bank accounts for ACH Direct Debit, and their payment methods.

The tokens are those of "Test account numbers",
https://docs.stripe.com/payments/ach-direct-debit/accept-a-payment#test-account-numbers, without the accounts that
still have to be verified, that are disputed, or that exceed a limit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sandbox.stripe.cards import Decline

BANK_ACCOUNT = "us_bank_account"
ROUTING_NUMBER = "110000000"


class BankAccount(NamedTuple):
    """A test bank account. decline: why its debit fails (None: it succeeds). settles: False: it stays `processing`."""

    number: str
    decline: Decline | None = None
    settles: bool = True


# Codes and texts of https://docs.stripe.com/error-codes
DECLINES = {
    "account_closed": Decline("account_closed", None, "The customer's bank account has been closed."),
    "no_account": Decline("no_account", None, "The bank account could not be located."),
    "insufficient_funds": Decline(
        "insufficient_funds", None, "The customer's account has insufficient funds to cover this payment."
    ),
    "debit_not_authorized": Decline(
        "debit_not_authorized", None, "The customer has notified their bank that this payment was unauthorized."
    ),
}
_ACCOUNTS = {
    "pm_usBankAccount_success": BankAccount("000123456789"),
    "pm_usBankAccount_accountClosed": BankAccount("000111111113", DECLINES["account_closed"]),
    "pm_usBankAccount_noAccount": BankAccount("000111111116", DECLINES["no_account"]),
    "pm_usBankAccount_insufficientFunds": BankAccount("000222222227", DECLINES["insufficient_funds"]),
    "pm_usBankAccount_debitNotAuthorized": BankAccount("000333333335", DECLINES["debit_not_authorized"]),
    "pm_usBankAccount_processing": BankAccount("000000000009", settles=False),
}
_BY_NUMBER = {account.number: account for account in _ACCOUNTS.values()}


def account_named(payment_method_id: str) -> BankAccount | None:
    """Return the test account of a payment method's name; None for an unknown name."""
    return _ACCOUNTS.get(payment_method_id)


def account_numbered(number: str) -> BankAccount | None:
    """Return the test account with this number; None for an unknown number."""
    return _BY_NUMBER.get(number)


def account_of(payment_method: dict[str, Any]) -> BankAccount:
    """Return the test account behind a stored payment method of the type `us_bank_account`."""
    return _BY_NUMBER[payment_method["_number"]]


def method_details(account: BankAccount) -> dict[str, Any]:
    """Return a payment method's `us_bank_account`."""
    return {
        **_described(account),
        "financial_connections_account": None,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "status_details": {},
    }


def charge_details(payment_method: dict[str, Any]) -> dict[str, Any]:
    """Return a charge's `payment_method_details`."""
    return {
        "type": BANK_ACCOUNT,
        BANK_ACCOUNT: {**_described(account_of(payment_method)), "payment_reference": None},
    }


def _described(account: BankAccount) -> dict[str, Any]:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": f"sandbox{account.number[-9:]}",
        "last4": account.number[-4:],
        "routing_number": ROUTING_NUMBER,
    }
