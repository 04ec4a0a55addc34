"""A request that costs money or reaches a person takes effect once.

The same tests run for the purchase of a label, the refund of a label, a text message and a mail. Only the mail provider
cannot be asked whether an earlier request took effect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from chassis.db.engine import Database
from chassis.work.ask_once import SETTLE_S
from contracts.errors import OutcomeUnknown, Refused, Unavailable
from tests.integration.notifications import test_delivery
from tests.integration.shipping import test_void
from tests.processes import die


class Killed(BaseException):
    """The process died here."""


class Counted(dict[str, Any]):
    """A provider's effects by object; `number` counts every effect, repeated ones included."""

    number = 0

    def __setitem__(self, key: str, value: Any) -> None:
        self.number += 1
        super().__setitem__(key, value)


class Case(ABC):
    """One kind of request.

    Attributes:
        shop: the database and the provider of the request.
        traceable: whether the provider can be asked whether the request took effect.
    """

    shop: Any
    traceable = True

    @abstractmethod
    def make(self) -> Any:
        """Make the request and return the answer."""

    @property
    @abstractmethod
    def effects(self) -> int:
        """How often the request took effect at the provider."""

    @abstractmethod
    def next_fails(self, error: BaseException, anyway: bool) -> None:
        """Make the provider fail at the next request; with `anyway`, only after it carried the request out."""

    def later(self) -> None:
        """Move the clock until earlier requests have settled and their claims have expired."""
        self.shop.clock.now += 30 + SETTLE_S


class LabelPurchase(Case):
    def __init__(self, database: Callable[[str], Database]) -> None:
        self.shop = test_void.Counter(database("shipping"))
        self.shop.carriers.sold, self.shop.carriers.given_back = Counted(), Counted()

    def make(self) -> Any:
        return self.shop.buy()

    @property
    def effects(self) -> int:
        number: int = self.shop.carriers.sold.number
        return number

    def next_fails(self, error: BaseException, anyway: bool) -> None:
        self.shop.carriers.trouble, self.shop.carriers.sells_anyway = [error], anyway


class LabelReturn(LabelPurchase):
    def __init__(self, database: Callable[[str], Database]) -> None:
        super().__init__(database)
        self.shop.buy()

    def make(self) -> Any:
        return self.shop.give_back()

    @property
    def effects(self) -> int:
        number: int = self.shop.carriers.given_back.number
        return number

    def next_fails(self, error: BaseException, anyway: bool) -> None:
        self.shop.carriers.refund_trouble, self.shop.carriers.sells_anyway = [error], anyway


class TextMessage(Case):
    def __init__(self, database: Callable[[str], Database]) -> None:
        self.shop = test_delivery.Shop(database("notifications"))

    def make(self) -> Any:
        return self.shop.sms()

    @property
    def effects(self) -> int:
        return len(self.shop.texter.arrived)

    def next_fails(self, error: BaseException, anyway: bool) -> None:
        self.shop.texter.trouble, self.shop.texter.sends_anyway = [error], anyway


class MailMessage(TextMessage):
    traceable = False

    def make(self) -> Any:
        return self.shop.mail()

    @property
    def effects(self) -> int:
        return len(self.shop.mailer.arrived)

    def next_fails(self, error: BaseException, anyway: bool) -> None:
        self.shop.mailer.trouble, self.shop.mailer.sends_anyway = [error], anyway


@pytest.fixture(params=[LabelPurchase, LabelReturn, TextMessage, MailMessage])
def case(request: pytest.FixtureRequest, database: Callable[[str], Database]) -> Case:
    made: Case = request.param(database)
    return made


def test_repeated_request_gets_the_first_answer(case: Case) -> None:
    first = case.make()
    assert (case.make(), case.effects) == (first, 1)


def test_request_that_was_never_sent_is_made_again(case: Case) -> None:
    case.next_fails(Unavailable("no connection"), anyway=False)
    with pytest.raises(Unavailable):
        case.make()
    case.make()
    assert case.effects == 1


def test_lost_answer_is_found_not_repeated(case: Case) -> None:
    case.next_fails(OutcomeUnknown("the answer was lost"), anyway=True)
    with suppress(OutcomeUnknown):
        case.make()
    case.later()
    case.make()
    assert case.effects == (1 if case.traceable else 2)


def test_lost_request_is_repeated_once_it_is_certain(case: Case) -> None:
    case.next_fails(OutcomeUnknown("the request was lost"), anyway=False)
    with pytest.raises(OutcomeUnknown):
        case.make()
    assert case.effects == 0
    case.later()
    case.make()
    assert case.effects == 1


def test_effect_of_a_killed_process_is_found(case: Case) -> None:
    case.next_fails(Killed(), anyway=True)
    with pytest.raises(Killed):
        case.make()
    die(case.shop.database)
    case.later()
    first = case.make()
    assert (case.make(), case.effects) == (first, 1 if case.traceable else 2)


def test_refused_request_can_be_made_again(case: Case) -> None:
    if isinstance(case, LabelReturn):
        case.next_fails(Refused("the parcel has moved"), anyway=False)
        assert case.make()["status"] == "used"  # for a label refund, a refusal is an answer
        return
    case.next_fails(Refused("not like this"), anyway=False)
    if type(case) is LabelPurchase:  # a refused rate is quoted again, and bought at the same price
        case.shop.carriers.fresh_rates = case.shop.shipment.rates
    else:
        with pytest.raises(Refused):
            case.make()
    case.make()
    assert case.effects == 1
