"""Event logs broken on purpose, each with a schedule that must find it out."""

from __future__ import annotations

from tests.interleavings import event_schedules as log
from tests.interleavings.stage import Mutation, Schedule

NAIVE_READER = Mutation(
    "readers take every position after their last",
    (
        (
            "settled_v1",
            "SELECT coalesce(max(t.position), 0) FROM holdfast.tick t",
            "SELECT coalesce(max(e.position), 0) FROM holdfast.event e",
        ),
    ),
)
TICK_WITHOUT_FENCE = Mutation(
    "a tick publishes what the sequence says", (("tick_v1", "IF v_writers = '{}' THEN", "IF true THEN"),)
)
FENCE_FORGETS_PREPARED = Mutation(
    "a writer has one name",
    (("event_writers_v1", "WHERE h.locktype = 'transactionid' AND h.mode = 'ExclusiveLock'", "WHERE false"),),
)
FENCE_WAITS_FOR_ALL = Mutation(
    "a tick waits until nobody writes", (("tick_v1", "IF p_fence && v_writers THEN", "IF true THEN"),)
)
NO_JUDGEMENT = Mutation(
    "a position below the watermark is accepted",
    (("judge_position_v1", "IF p_position <= ", "IF false AND p_position <= "),),
)
_DRAW = "    v_position := nextval('holdfast.event_position');\n"
_FIRST_LOCK = "    IF p_tags IS NULL THEN\n        PERFORM pg_advisory"
POSITION_BEFORE_THE_LOCK = Mutation(
    "the position is drawn before the stream is locked",
    (
        ("append_one_v1", _FIRST_LOCK, _DRAW + _FIRST_LOCK),
        ("append_one_v1", "event AS e (version,", "event AS e (position, version,"),
        ("append_one_v1", "VALUES (v_base + 1,", "VALUES (v_position, v_base + 1,"),
    ),
)
_SEQUENCE = "    v_last := holdfast.last_position_v1();\n"
_WRITERS = "    v_writers := holdfast.event_writers_v1();\n"
TICK_LOOKS_AT_WRITERS_FIRST = Mutation(
    "a tick collects the writers, then reads the sequence",
    (
        ("tick_v1", _WRITERS, ""),
        ("tick_v1", _SEQUENCE, _WRITERS + "    PERFORM pg_sleep(0.002);\n" + _SEQUENCE),
    ),
)
TAGS_ARE_NOT_LOCKED = Mutation(
    "a plain append does not lock its tags",
    (("lock_conditions_v1", "UNION SELECT holdfast.condition_key_v1('tag', t) FROM", "UNION SELECT 1 FROM"),),
)
BULK_LOCKS_NOTHING = Mutation(
    "a bulk append locks nothing", (("lock_conditions_v1", "PERFORM pg_advisory_xact_lock(1212578, 0);", "NULL;"),)
)
CONDITION_LOCKS_NOTHING = Mutation(
    "a condition locks nothing", (("lock_conditions_v1", "IF v_key.alone THEN", "IF false THEN"),)
)

CAUGHT_BY: tuple[tuple[Mutation, Schedule], ...] = (
    (NAIVE_READER, log.late_commit_of_an_early_position),
    (NAIVE_READER, log.a_savepoint_is_rolled_back),
    (TICK_WITHOUT_FENCE, log.late_commit_of_an_early_position),
    (TICK_WITHOUT_FENCE, log.two_tickers_at_once),
    (FENCE_WAITS_FOR_ALL, log.newer_writers_never_end),
    (NO_JUDGEMENT, log.the_sequence_falls_behind_the_log),
    (TAGS_ARE_NOT_LOCKED, log.plain_append_beside_a_condition),
    (BULK_LOCKS_NOTHING, log.bulk_append_beside_a_condition),
    (CONDITION_LOCKS_NOTHING, log.conditional_append_waits_for_the_other),
    (CONDITION_LOCKS_NOTHING, log.condition_on_a_type_alone),
)
