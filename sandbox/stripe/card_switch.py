"""A switch: ordinary cards behave as another test card, all of them or a share. It is kept in the sandbox's file.

So a decline, a block by Radar or a dispute also happens to shoppers who pay with an ordinary card.
"""

from __future__ import annotations

from typing import Any

import orjson

from sandbox.state import State
from sandbox.stripe.cards import Card, card_named

_SETTING = "cards_behave_as"
_OFF = {"behave_as": None, "share": 1, "times": None, "seen": 0, "hits": 0}


def describe(state: State) -> dict[str, Any]:
    """Return {"behave_as": the name of a test card or None, "share", "times", "seen", "hits"}."""
    stored = state.setting(_SETTING)
    return dict(_OFF) if stored is None else orjson.loads(stored)


def switch(state: State, behave_as: str | None, share: float = 1, times: int | None = None) -> None:
    """Let ordinary cards behave as this test card, or as themselves (None).

    share: which part of the cards, spread evenly. times: for how many cards (None: until it is switched off).
    """
    _keep(state, {**_OFF, "behave_as": behave_as, "share": share, "times": times})


def behaviour_of(state: State, card: Card) -> Card:
    """Return the card that a new payment method with `card` imitates; often `card` itself."""
    now = describe(state)
    ordinary = card == Card(card.number, card.brand, card.funding)
    if now["behave_as"] is None or not ordinary or (now["times"] is not None and now["hits"] >= now["times"]):
        return card
    now["seen"] += 1
    # Every n-th card, without dice: the same calls always bring the same result.
    hit = int(now["seen"] * now["share"]) > int((now["seen"] - 1) * now["share"])
    now["hits"] += hit
    _keep(state, now)
    return (card_named(now["behave_as"]) or card) if hit else card


def _keep(state: State, switched: dict[str, Any]) -> None:
    state.set_setting(_SETTING, orjson.dumps(switched).decode())
