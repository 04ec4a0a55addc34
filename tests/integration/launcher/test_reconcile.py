"""The comparison of all records and its report, with services that answer from memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from contracts.differences import Difference, page
from contracts.errors import Conflict, ProviderFailure, ShopError, Unavailable
from launcher import given_up, reconcile, running_services
from launcher.comparison import ONE_BY_ONE, Comparison, parts
from launcher.problem import Problem
from launcher.running_services import TRIES, Services

SAFE = Difference("label unknown here", "or_1", "nothing", "Shippo says: bought", "record it", fix={"do": "record"})
IN_USE = {"PAYMENT_PROVIDER": ("stripe",), "CARRIERS": ("shippo",), "SMS_PROVIDER": ("twilio",)}
LISTS = parts(IN_USE)
BY_HAND = Difference("charge without an order", "pi_1", "no such order", "Stripe says: \x1b[31mtaken\n", advice="ask")


class Answers(Services):
    """Services that answer from memory: ``{("cart", "payments"): [page, page]}``. Other parts are empty."""

    def __init__(self, pages: dict[tuple[str, str], list[dict[str, Any]]] | None = None) -> None:
        self.pages = pages or {}
        self.asked: list[tuple[str, str, Any]] = []
        self.mended: list[Any] = []
        self.troubles: list[Exception] = []
        self.missing: dict[str, list[Difference]] = {}

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def call_once(self, service: str, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.troubles:
            raise self.troubles.pop(0)
        if method == "mend":
            self.mended.append((service, *args))
            return "recorded"
        assert method == "audit"
        [part] = args
        ids = kwargs["ids"]
        self.asked.append((service, part, ids if ids is not None else kwargs["cursor"]))
        if ids is not None:
            return page(0, [each for known in ids for each in self.missing.get(known, [])])
        pages = self.pages.get((service, part), [page(0, [])])
        return pages[int(kwargs["cursor"] or 0)]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(running_services.time, "sleep", slept.append)
    return slept


def found(services: Answers, since: float = 0.0, until: float = 1.0) -> list[tuple[str, str]]:
    comparison = Comparison(services, LISTS, since, until, lambda part, total: None)
    return [(service, difference.subject) for service, difference in comparison.differences()]


def run_reconcile(monkeypatch: pytest.MonkeyPatch, services: Answers, *arguments: str) -> int:
    monkeypatch.setattr(reconcile.Services, "running", classmethod(lambda cls: services))
    return reconcile.main(arguments)


def test_every_page_of_every_part_is_read() -> None:
    payments = [page(100, [BY_HAND], "1"), page(100, [], "2"), page(7, [SAFE])]
    services = Answers({("cart", "payments"): payments})
    assert found(services) == [("cart", "pi_1"), ("cart", "or_1")]
    assert [asked for asked in services.asked if asked[1] == "payments"] == [
        ("cart", "payments", None),
        ("cart", "payments", "1"),
        ("cart", "payments", "2"),
    ]
    assert {(service, part) for service, part, _ in services.asked} == {(each.service, each.part) for each in LISTS}


def test_titles_of_the_lists_name_the_providers_in_use() -> None:
    acme = {**IN_USE, "PAYMENT_PROVIDER": ("shops.pay:AcmePay",), "CARRIERS": ("shippo", "shops.acme:Acme")}
    titles = [part.title for part in parts(acme)]
    assert titles[:2] == ["payments at AcmePay", "refunds at AcmePay"]
    assert "labels at Shippo and Acme" in titles
    assert "SMS at Twilio" in titles


def test_only_ids_missing_from_a_list_are_asked_for_by_id() -> None:
    ours = [f"pi_{number}" for number in range(ONE_BY_ONE * 2 + 5)]
    services = Answers(
        {
            ("cart", "payments"): [page(2, [], "1", seen=ours[:3]), page(2, [], seen=ours[3:5])],
            ("cart", "orders"): [page(25, [], known=ours)],
            ("shipping", "bought"): [page(1, [], known=["pi_1"])],  # this id belongs to another list
        }
    )
    services.missing["pi_24"] = [BY_HAND]
    assert found(services) == [("cart", "pi_1")]
    by_id = [asked for asked in services.asked if isinstance(asked[2], list)]
    assert by_id == [
        ("cart", "payments", ours[5 : 5 + ONE_BY_ONE]),
        ("cart", "payments", ours[5 + ONE_BY_ONE :]),
        ("shipping", "sold", ["pi_1"]),
    ]


def test_endless_list_raises_a_problem() -> None:
    services = Answers({("shipping", "sold"): [page(1, [], "1"), page(1, [], "1")]})
    with pytest.raises(Problem, match="labels at Shippo does not end"):
        found(services)


def test_a_long_list_takes_no_more_memory_than_a_short_one() -> None:
    def peak(pages: int) -> int:
        ids = [[f"pi_{number:06}_{each:03}" for each in range(100)] for number in range(pages)]
        listed = [page(100, [], str(number + 1), seen=ids[number]) for number in range(pages)]
        listed[-1]["next"] = None
        services = Answers({("cart", "payments"): listed})
        tracemalloc.start()
        found(services)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak_bytes

    peak(1)
    assert peak(200) < peak(10) + 100_000  # 20 000 ids take 1.5 MB


def test_retry_after_of_a_provider_is_respected(pauses: list[float]) -> None:
    services = Answers()
    services.troubles = [Unavailable("Stripe takes no more requests.", {"retry_after": 2})] * (TRIES - 1)
    assert found(services) == []
    assert pauses == [2.0] * (TRIES - 1)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ([Unavailable("Stripe cannot be reached.")] * TRIES, "Stripe cannot be reached."),
        ([ProviderFailure("Stripe does not accept the shop's key.")], "Stripe does not accept the shop's key."),
        ([running_services.BadRequest("audit")], "cart failed over audit (BadRequest: audit); its log says more."),
    ],
)
def test_failed_call_prints_a_sentence_and_exits_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pauses: list[float],
    trouble: list[Exception],
    sentence: str,
) -> None:
    services = Answers()
    services.troubles = trouble
    assert run_reconcile(monkeypatch, services) == 2
    printed = capsys.readouterr()
    assert printed.err == f"The comparison broke off. {sentence}\n"
    assert "No differences" not in printed.out


@pytest.mark.parametrize(
    ("error", "message"),
    [(KeyError("next"), "KeyError: 'next'"), (Unavailable("The broker is away."), "Unavailable: The broker is away.")],
)
def test_bug_prints_a_sentence_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, message: str
) -> None:
    """Status 1 is reserved for differences."""

    class Broken(Answers):
        def __enter__(self) -> Answers:
            raise error

    assert run_reconcile(monkeypatch, Broken()) == 2
    printed = capsys.readouterr()
    first, *trace = printed.err.splitlines()
    assert first == f"The comparison broke off, so nothing is known: {message}"
    assert "test_reconcile.py" in "".join(trace)
    assert printed.out == ""


def test_agreement_exits_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_reconcile(monkeypatch, Answers()) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "No differences."


def test_differences_are_printed_but_not_mended_by_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = Answers({("cart", "payments"): [page(2, [BY_HAND, SAFE])]})
    assert run_reconcile(monkeypatch, services) == 1
    lines = capsys.readouterr().out.splitlines()
    # The provider's text is printed on one line without control characters.
    assert lines[0].startswith("charge without an order: pi_1 | we say: no such order | Stripe says: ?[31mtaken?")
    assert lines[1] == SAFE.line()
    assert lines[-1] == "2 differences, of which --repair would mend 1."
    assert services.mended == []


def test_repair_mends_safe_differences_and_compares_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = Answers({("shipping", "sold"): [page(2, [BY_HAND, SAFE])]})
    assert run_reconcile(monkeypatch, services, "--repair") == 1  # the stub still reports the difference
    lines = capsys.readouterr().out.splitlines()
    assert services.mended == [("shipping", {"do": "record"})]
    assert lines[2] == "  mended: recorded"
    assert lines.count(SAFE.line()) == 2
    assert "2 differences, 1 of 1 mended." in lines
    assert lines[-1] == "2 differences, of which --repair would mend 1."
    assert lines.index("Compared again:") > 2


def test_difference_that_cannot_be_mended_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class RefusesMending(Answers):
        def call_once(self, service: str, method: str, *args: Any, **kwargs: Any) -> Any:
            if method == "mend":
                raise Conflict("It is being paid.")
            return super().call_once(service, method, *args, **kwargs)

    services = RefusesMending({("shipping", "sold"): [page(1, [SAFE])]})
    assert run_reconcile(monkeypatch, services, "--repair") == 1
    out = capsys.readouterr().out
    assert "  not mended: It is being paid.\n" in out
    assert "1 difference, 0 of 1 mended." in out


@pytest.mark.parametrize("wrong", [["--since", "x"], ["--since", "-1"], ["--grace", "nan"], ["--mend"], ["now"]])
def test_invalid_arguments_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        reconcile.main(wrong)
    assert refused.value.code == 2


def test_since_and_grace_set_the_compared_window(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = []

    class RecordsWindows(Answers):
        def call_once(self, service: str, method: str, *args: Any, **kwargs: Any) -> Any:
            windows.append((kwargs["since"], kwargs["until"]))
            return super().call_once(service, method, *args, **kwargs)

    monkeypatch.setattr(reconcile.time, "time", lambda: 1_000_000.0)
    assert run_reconcile(monkeypatch, RecordsWindows()) == 0
    assert set(windows) == {(0.0, 1_000_000.0 - 60)}
    windows.clear()
    assert run_reconcile(monkeypatch, RecordsWindows(), "--since", "2", "--grace", "5") == 0
    assert set(windows) == {(1_000_000.0 - 2 * 86400, 1_000_000.0 - 5)}


def test_missing_amqp_uri_prints_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AMQP_URI", raising=False)
    assert reconcile.main([]) == 2
    assert "AMQP_URI has to say" in capsys.readouterr().err


class GivenUp(Answers):
    """Services with tasks and events that were given up."""

    def __init__(self, *keys: str, stuck: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.rows = {key: {"key": key, "kind": "sms", "subject": "or_1", "tries": 5, "error": "no"} for key in keys}
        self.events = {
            "evt_1": {
                "key": "evt_1",
                "subject": None,
                "kind": "transaction_updated",
                "tries": 5,
                "error": "NotFound: x",
            }
        }
        self.stuck = stuck
        self.replayed: list[str] = []

    def call_once(self, service: str, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "tasks":
            return {"cart": list(self.rows.values()), "shipping": list(self.events.values())}.get(service, [])
        if method == "attention":
            wanted = {"order_id": "or_1", "kind": "sms", "detail": "no", "since": 1}
            dispute = {**wanted, "kind": "dispute", "about": "du_1", "detail": "fraudulent"}
            return [dispute, *({**wanted, "about": key} for key in self.rows if key != "or_1:dismissed")]
        if method == "set_aside":
            return [{"product": "prod_1", "reason": "it has no package_dimensions", "since": 1}]
        [key] = args
        known = self.rows if (service, method) == ("cart", "replay") else self.events if service == "shipping" else {}
        if key not in known:
            raise given_up.NotFound("no")
        self.replayed.append(key)
        if key in self.stuck:
            raise ShopError("The broker is away.")
        known.pop(key)
        return {"state": "waiting" if key.startswith("evt") else "done", "error": None}


def run_given_up(monkeypatch: pytest.MonkeyPatch, services: Answers, *arguments: str) -> int:
    monkeypatch.setattr(given_up.Services, "running", classmethod(lambda cls: services))
    return given_up.main(arguments)


def test_given_up_tasks_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_given_up(monkeypatch, GivenUp("or_1:sms", "or_1:dismissed"), "list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "or_1:sms  sms of or_1, tried 5 times: no",
        "evt_1  event transaction_updated in shipping, tried 5 times: NotFound: x",
        "or_1  needs a person, dispute du_1: fraudulent",
        "prod_1  off sale until Stripe's record of it can be read: it has no package_dimensions",
        "2 given up; ./install_run_project replay KEY tries one again.",
    ]


def test_one_or_all_given_up_tasks_are_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = GivenUp("or_1:sms", "or_2:sms")
    assert run_given_up(monkeypatch, services, "replay", "evt_1") == 0
    assert capsys.readouterr().out == "evt_1: waiting; it is tried again soon\n"
    assert run_given_up(monkeypatch, services, "replay", "--all") == 0
    assert capsys.readouterr().out == "or_1:sms: done\nor_2:sms: done\n"
    assert run_given_up(monkeypatch, services, "replay", "or_1:sms") == 1
    assert "Nothing was given up under or_1:sms" in capsys.readouterr().err


def test_replay_all_continues_after_a_failed_replay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = GivenUp("or_1:sms", "or_2:sms", stuck=("or_1:sms",))
    assert run_given_up(monkeypatch, services, "replay", "--all") == 1
    assert services.replayed == ["or_1:sms", "or_2:sms", "evt_1"]
    assert "or_1:sms: The broker is away." in capsys.readouterr().out
    assert run_given_up(monkeypatch, services, "replay") == 2
