"""What happens later without a further request: a refund that fails after days, a label's purchase that ends.

Plans are kept in the sandbox's file, so a restart loses none. They follow the sandbox's clock, which can be advanced.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping

from sandbox.state import State

log = logging.getLogger("sandbox.later")


def plan(state: State, kind: str, object_id: str, due: float, outcome: str) -> None:
    """Let an object reach `outcome` at `due` (Unix seconds of the sandbox's clock). This replaces its earlier plan."""
    values = (kind, object_id, due, outcome)
    state.query("INSERT OR REPLACE INTO later (kind, id, due, outcome) VALUES (?, ?, ?, ?)", values)


def forget(state: State, kind: str, object_id: str) -> None:
    """Drop the plan for an object, if there is one."""
    state.query("DELETE FROM later WHERE kind = ? AND id = ?", (kind, object_id))


class Later:
    """Carries out due plans.

    actions: per kind of object, the function that lets an object (id) reach its planned outcome.
    """

    def __init__(self, state: State, actions: Mapping[str, Callable[[str, str], object]]) -> None:
        self._state = state
        self._actions = actions

    def carry_out(self) -> None:
        """Carry out the plans that are due, the longest overdue first, each in a transaction of its own."""
        due = self._state.query(
            "SELECT kind, id, outcome FROM later WHERE due <= ? ORDER BY due, rowid", (self._state.now(),)
        )
        for kind, object_id, outcome in due:
            try:
                with self._state.transaction():
                    forget(self._state, kind, object_id)
                    self._actions[kind](object_id, outcome)
            except sqlite3.Error:  # the file is full or broken: the plan stays
                log.exception("%s %s did not become %s yet", kind, object_id, outcome)
            except Exception:
                log.exception("%s %s could not become %s: a bug of the sandbox", kind, object_id, outcome)
                forget(self._state, kind, object_id)
