"""Past migrations of the tables that services' databases share: never changed, like any other revision.

`chassis.db.shared_tables` describes these tables as they are now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create_presence_and_answers() -> None:
    """Create ``presence`` (see `chassis.db.heartbeat`) and ``answers`` (see `chassis.work.idempotency`)."""
    op.create_table(
        "presence",
        sa.Column("holder", sa.String(64), primary_key=True),
        sa.Column("seen", sa.Float(53), nullable=False),
    )
    op.create_table(
        "answers",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("effect", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128)),
        sa.Column("holder", sa.String(64)),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("began", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.Column("answer", sa.Text),
    )
    op.create_index("answers_began", "answers", ["began"])


def create_events() -> None:
    """Create ``events`` (see `chassis.work.inbox`): providers' events, stored before they are acknowledged."""
    op.create_table(
        "events",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(128), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received", sa.Float(53), nullable=False),
        sa.Column("due", sa.Float(53), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("claim", sa.String(64)),
        sa.Column("holder", sa.String(64)),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("events_due", "events", ["state", "due"])


def create_tasks(*more: str) -> None:
    """Create ``tasks`` (see `chassis.work.tasks`) with the content of ``events``, and of the cart's ``owed``.

    On PostgreSQL the old tables stay for copies of the previous release during a rolling upgrade: what they store later
    becomes a task, too, and is tried 30 s later by a copy of this release. Its key makes the second try harmless. On
    SQLite such copies are stopped before the upgrade.

    Args:
        more: the service's tables with claims besides ``events`` and ``answers``, in the order in which its
            transactions lock them.
    """
    op.create_table(
        "tasks",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("queue", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(128), nullable=False),
        sa.Column("subject", sa.String(64)),
        sa.Column("details", sa.JSON),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("due_at", sa.Float(53), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("claim", sa.String(64)),
        sa.Column("holder", sa.String(64)),
        sa.Column("claimed_until", sa.Float(53), nullable=False, server_default="0"),
        sa.Column("answer", sa.JSON),
        sa.Column("error", sa.Text),
    )
    old_tables = [table for table in (*more, "events") if table in _MOVES]
    for table in old_tables:
        op.execute(_MOVES[table])
    op.create_index("tasks_due", "tasks", ["queue", "state", "due_at"])
    op.create_index("tasks_subject", "tasks", ["subject"])
    if op.get_bind().dialect.name != "postgresql":
        for table in old_tables:
            op.drop_table(table)
        return
    # What takes long is done. From here on transactions wait, so all locks of this and the next revision are taken at
    # once, in the order in which the service's own transactions take them: otherwise each could wait for the other.
    op.execute(f"LOCK TABLE {', '.join((*more, 'events', 'answers'))} IN ACCESS EXCLUSIVE MODE")
    for table in old_tables:
        op.execute(_TO_TASKS[table])
        op.execute(f"CREATE TRIGGER to_tasks AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_to_tasks()")
        op.execute(_MOVES[table])  # what was stored since the first time


_MOVES = {
    "events": """
INSERT INTO tasks (key, queue, kind, details, state, created, due_at, tries, error)
SELECT id, 'events', kind, body, state, received, CASE WHEN holder IS NULL THEN due ELSE until END, tries, error
FROM events WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.key = events.id)
""",
    "owed": """
INSERT INTO tasks (key, queue, kind, subject, details, state, created, due_at, tries, answer, error)
SELECT key, 'deliveries', kind, order_id, details, CASE WHEN state = 'owed' THEN 'waiting' ELSE state END,
    since, due, tries, answer, error
FROM owed WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.key = owed.key)
""",
}
_TO_TASKS = {
    "events": """
CREATE FUNCTION events_to_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tasks (key, queue, kind, details, state, created, due_at, tries)
    VALUES (NEW.id, 'events', NEW.kind, NEW.body, NEW.state, NEW.received, NEW.due + 30, 0)
    ON CONFLICT (key) DO NOTHING;
    RETURN NULL;
END $$
""",
    # One try, as a copy of the previous release makes it: a label may be bought already. The message waits for it.
    "owed": """
CREATE FUNCTION owed_to_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tasks (key, queue, kind, subject, details, state, created, due_at, tries)
    VALUES (NEW.key, 'deliveries', NEW.kind, NEW.order_id, NEW.details, 'waiting', NEW.since + 30, NEW.due + 30, 1)
    ON CONFLICT (key) DO NOTHING;
    RETURN NULL;
END $$
""",
}


def use_claim_columns(table: str, old: str, open_rows: str, due: bool = True) -> None:
    """Give a table of claims the columns that `chassis.db.claims` describes.

    On PostgreSQL the old column stays, so that copies of the previous release can work on the same table during a
    rolling upgrade: a trigger keeps the old and the new columns equal. On SQLite such copies are stopped before the
    upgrade (docs/operating/upgrade.md).

    Args:
        old: the column that held the end of a claim.
        open_rows: SQL condition of the rows that may be claimed; the others keep the new columns' defaults.
        due: whether `old` also held the time until which an unclaimed row waits: that is `due_at` now.
    """
    rows = sa.table(table, *(sa.column(name) for name in ("holder", "claimed_until", "due_at", old)))
    if op.get_bind().dialect.name == "postgresql":
        op.add_column(table, sa.Column("claimed_until", sa.Float(53), nullable=False, server_default="0"))
        if due:
            op.add_column(table, sa.Column("due_at", sa.Float(53), nullable=False, server_default="0"))
        op.execute((_TRIGGER_OF_DUE if due else _TRIGGER).format(table=table, old=old))
        op.execute(
            f"CREATE TRIGGER {table}_claim_columns BEFORE INSERT OR UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_claim_columns()"
        )
        end, claimed = rows.c[old], rows.c.holder.is_not(None)
        values = {"claimed_until": sa.case((claimed, end), else_=0.0), "due_at": sa.case((claimed, 0.0), else_=end)}
        backfill = values if due else {"claimed_until": end}
        op.execute(rows.update().where(sa.text(open_rows)).values(**backfill))
    elif due:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO due_at")
        op.add_column(table, sa.Column("claimed_until", sa.Float(53), nullable=False, server_default="0"))
        held = rows.update().where(rows.c.holder.is_not(None))
        op.execute(held.values(claimed_until=rows.c.due_at, due_at=0.0))
    else:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO claimed_until")
    if not due:
        op.add_column(table, sa.Column("claim", sa.String(64)))


# The previous release writes `lease`, which is the end of a claim or, without a holder, the time until which the row
# waits. This release writes `claimed_until` and `due_at`.
_TRIGGER_OF_DUE = """
CREATE FUNCTION {table}_claim_columns() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    previous_release boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        previous_release := NEW.{old} IS NOT NULL;
    ELSE
        previous_release := NEW.{old} <> OLD.{old} OR (NEW.holder IS DISTINCT FROM OLD.holder
            AND NEW.claimed_until = OLD.claimed_until AND NEW.due_at = OLD.due_at);
    END IF;
    IF NOT previous_release THEN
        NEW.{old} := CASE WHEN NEW.holder IS NULL THEN NEW.due_at ELSE NEW.claimed_until END;
    ELSIF NEW.holder IS NULL THEN
        NEW.claimed_until := 0;
        NEW.due_at := NEW.{old};
    ELSE
        NEW.claimed_until := NEW.{old};
        NEW.due_at := 0;
    END IF;
    RETURN NEW;
END $$
"""
# The previous release knows its claim by the holder and `until`. A claim of its own has no token, so that no copy of
# this release takes it for its own.
_TRIGGER = """
CREATE FUNCTION {table}_claim_columns() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    previous_release boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        previous_release := NEW.{old} IS NOT NULL;
    ELSE
        previous_release := NEW.{old} <> OLD.{old} OR (NEW.holder IS DISTINCT FROM OLD.holder
            AND NEW.claimed_until = OLD.claimed_until);
    END IF;
    IF previous_release THEN
        NEW.claimed_until := NEW.{old};
        NEW.claim := NULL;
    ELSE
        NEW.{old} := NEW.claimed_until;
    END IF;
    RETURN NEW;
END $$
"""
