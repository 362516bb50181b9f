"""Builds broken on purpose, each with a schedule that must find it out."""

from __future__ import annotations

from tests.interleavings import batch_schedules as batch
from tests.interleavings import lease_schedules as lease
from tests.interleavings import occurrence_schedules as occurrence
from tests.interleavings import queue_schedules as queue
from tests.interleavings import report_schedules as report
from tests.interleavings import verb_schedules as verb
from tests.interleavings.stage import Mutation, Schedule

_LEASE_FENCE = "WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE"
_NO_FENCE = "WHERE id = ANY (p_leases) ORDER BY id"

RESCUE_IN_ONE_STATEMENT = Mutation(
    "rescue waits and goes on with its old snapshot",
    (
        (
            "rescue_v1",
            "LOOP\n",
            """WITH gone AS (
                DELETE FROM holdfast.lease l WHERE l.id >= p_worker << 36 AND l.id < (p_worker + 1) << 36 RETURNING l.*
            ), back AS (
                INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
                SELECT j.queue, j.priority, j.id, 1, j.flags
                FROM gone g, unnest(g.job_ids) AS h(job_id) JOIN holdfast.job j ON j.id = h.job_id
                WHERE NOT EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = h.job_id) RETURNING 1
            ) SELECT count(*) INTO v_count FROM back;
            LOOP
            EXIT;
            """,
        ),
    ),
)
RESCUE_IGNORES_EXITS = Mutation(
    "rescue ignores the exits of a lease",
    (
        (
            "rescue_lease_v1",
            "AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = p_lease AND e.job_id = h.job_id)",
            "",
        ),
    ),
)
RETRY_WITHOUT_EXIT = Mutation(
    "an operator's retry leaves no exit in the old lease",
    (("retry_v1", "IF v_outcome.lease <> 0 THEN", "IF false THEN"),),
)
COMPLETION_WITHOUT_LOCK = Mutation(
    "the fence of a completion is a look, not a lock", (("finish_v1", _LEASE_FENCE, _NO_FENCE),)
)
COMPLETION_WITHOUT_LEASE = Mutation(
    "a completion does not look at the lease",
    (("finish_v1", "holdfast.count_held_v1(v_live, p_leases, p_jobs) = cardinality(p_jobs)", "true"),),
)
EXIT_WITHOUT_LOCK = Mutation("the fence of an exit is a look, not a lock", (("leave_v1", _LEASE_FENCE, _NO_FENCE),))
CLAIM_WITHOUT_WORKER = Mutation(
    "a claim does not hold its worker's row",
    (("claim_v1", "w.state = 'live' FOR KEY SHARE", "w.state = 'live'"),),
)
REPEAT_IS_REFUSED = Mutation(
    "a repeated completion is taken for a lost lease",
    (("finish_carefully_v1", "o.job_id = v_job.job_id AND o.lease = v_job.lease", "false"),),
)
REPEAT_IS_ANYBODYS = Mutation(
    "an outcome of anybody counts as mine",
    (("finish_carefully_v1", "o.job_id = v_job.job_id AND o.lease = v_job.lease", "o.job_id = v_job.job_id"),),
)
RELEASE_WAITS_FOR_NOBODY = Mutation(
    "a release looks at outcomes without holding the lease",
    (("release_lease_v1", "WHERE l.id = p_lease FOR UPDATE SKIP LOCKED", "WHERE l.id = p_lease"),),
)
CANCELLED_JOBS_ARE_CLAIMED = Mutation(
    "a claim does not look at cancel requests",
    (
        (
            "claim_v1",
            "IF EXISTS (SELECT FROM holdfast.cancel_request",
            "IF NOT EXISTS (SELECT FROM holdfast.worker) AND EXISTS (SELECT FROM holdfast.cancel_request",
        ),
    ),
)
CLAIM_WAITS = Mutation(
    "a claim waits for what others have locked", (("claim_v1", "FOR UPDATE OF x SKIP LOCKED", "FOR UPDATE OF x"),)
)
CLAIM_DOES_NOT_LOCK = Mutation(
    "a claim does not lock what it takes", (("claim_v1", "FOR UPDATE OF x SKIP LOCKED", ""),)
)
CLAIM_IGNORES_PAUSES = Mutation("a claim ignores pauses", (("claim_v1", "WHERE p.queue = m.queue)", "WHERE false)"),))
MARK_IGNORES_WRITERS = Mutation(
    "the watermark takes the last number without waiting for its writers",
    (("marks_v1", "IF p_fence && v_writers THEN", "IF false THEN"),),
)
DUPLICATE_HOLDS_NOTHING = Mutation(
    "a duplicate does not hold the waiting job",
    (("hold_waiting_v1", "r.flags & 2 <> 0 FOR KEY SHARE", "r.flags & 2 <> 0"),),
)
KEYS_NEVER_GO_STALE = Mutation(
    "the key of a finished job stays taken",
    (("hold_waiting_v1", "IF holdfast.is_finished_v1(p_job) THEN", "IF false THEN"),),
)
REQUESTS_OUTLIVE_A_RETRY = Mutation(
    "an operator's retry leaves an old cancel request in place",
    (("retry_v1", "DELETE FROM holdfast.cancel_request c WHERE c.job_id = p_job;", ""),),
)
DROPPED_JOBS_KEEP_KEYS = Mutation(
    "a job without a row counts as running",
    (("hold_waiting_v1", "IF NOT EXISTS (SELECT FROM holdfast.job j WHERE j.id = p_job)", "IF false"),),
)
KEYS_IN_ORDER_OF_THE_INPUT = Mutation(
    "keys are taken in the order in which they come",
    (("enqueue_keyed_v1", "ORDER BY holdfast.key_hash_v1(k.key)", "ORDER BY min(k.at)"),),
)
KEY_IN_ONE_STATEMENT = Mutation(
    "DO NOTHING and the look-up are one statement",
    (
        (
            "take_key_v1",
            "LOOP\n",
            """LOOP
            WITH taken AS (
                INSERT INTO holdfast.unique_key (hash, generation, job_id) VALUES (v_hash, 1, p_job)
                ON CONFLICT DO NOTHING RETURNING job_id)
            SELECT x.job_id INTO v_holder FROM (
                SELECT t.job_id FROM taken t
                UNION ALL SELECT k.job_id FROM holdfast.unique_key k WHERE k.hash = v_hash) AS x LIMIT 1;
            RETURN v_holder;
            """,
        ),
    ),
)
SHARED_LEASES_FOR_ALL = Mutation(
    "transactional jobs share a lease, and lock it to complete",
    (
        ("claim_v1", "bool_or(t.flags & 5 <> 0)", "false"),
        (
            "finish_solo_v1",
            "DELETE FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids)",
            "PERFORM FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids) FOR KEY SHARE",
        ),
    ),
)
EDIT_WITHOUT_LOCK = Mutation(
    "an edit looks where the job stands, and locks nothing",
    (("edit_v1", "NOT holdfast.lock_place_v1(p_job)", "holdfast.standing_v1(p_job) IN ('running', 'completed')"),),
)
EDIT_CALLS_NOBODY = Mutation(
    "an edit does not call the gates that it held a job back from",
    (("edit_v1", "PERFORM holdfast.call_gates_v1(ARRAY[p_job]);", ""),),
)
PUT_OFF_CALLS_NOBODY = Mutation(
    "a job that is put off gives up its slots, and calls nobody",
    (("reschedule_v1", "PERFORM holdfast.call_gates_v1(v_gated);", ""),),
)
PUT_OFF_WITH_ITS_SLOTS = Mutation(
    "a job that is put off keeps its slots",
    (("reschedule_v1", "DELETE FROM holdfast.slot s WHERE s.job_id = ANY (v_gated);", ""),),
)
PURGE_WITHOUT_EXIT = Mutation(
    "a purge leaves no exit in the lease of a finished job",
    (("purge_v1", "WHERE EXISTS (SELECT FROM holdfast.lease l WHERE l.id = e.lease)", "WHERE false"),),
)
VERBS_WAIT = Mutation(
    "a verb takes jobs that others hold, and waits for them",
    (("take_out_v1", "FOR UPDATE SKIP LOCKED", "FOR UPDATE"),),
)

_DECIDER = "AND s.paused_at IS NULL AND s.withdrawn_at IS NULL FOR UPDATE SKIP LOCKED"
_ONE_ROW_A_MOMENT = (
    (
        "fire_v1",
        "CONTINUE WHEN EXISTS (SELECT FROM holdfast.occurrence",
        "CONTINUE WHEN false AND EXISTS (SELECT FROM holdfast.occurrence",
    ),
    ("fire_v1", "INSERT INTO holdfast.occurrence SELECT (v_made).*;", ""),
)
DECISION_WITHOUT_LOCK = Mutation(
    "the job is enqueued in one transaction, the schedule advanced in another",
    (("fire_v1", _DECIDER, ""), ("fire_v1", "WHERE name = p_name;", "WHERE false;"), *_ONE_ROW_A_MOMENT),
)
DECISION_WITHOUT_READING = Mutation(
    "a decision is taken whatever the schedule stands at",
    (("fire_v1", "s.version = p_version AND s.next_at = p_expected", "true"), *_ONE_ROW_A_MOMENT),
)
DECISION_WITHOUT_CLOCK = Mutation(
    "a decision does not ask the clock again", (("fire_v1", "NOT FOUND OR v_schedule.due_at > v_now", "NOT FOUND"),)
)
DECISION_WITHOUT_VERSION = Mutation(
    "a decision from an older plan is taken", (("fire_v1", "s.version = p_version AND", ""),)
)
TRIGGER_WITHOUT_LOCK = Mutation(
    "a trigger looks for overlap without holding the schedule",
    (("trigger_schedule_v1", "s.name = p_name FOR UPDATE", "s.name = p_name"),),
)
BACKFILL_WITHOUT_LOCK = Mutation(
    "a backfill looks for jobs without holding the schedule",
    (("backfill_v1", "s.name = p_name FOR UPDATE", "s.name = p_name"),),
)

LAST_MEMBER_LOOKS_FOR_OTHERS = Mutation(
    "a member that ends looks whether it is the last, and ends the batch itself",
    (
        (
            "tell_batches_v1",
            "BEGIN\n",
            """BEGIN
            PERFORM holdfast.end_batch_v1(b) FROM holdfast.batch b
            WHERE b.id IN (SELECT m.batch_id FROM holdfast.batch_member m WHERE m.job_id = ANY (p_jobs))
              AND NOT EXISTS (SELECT FROM holdfast.batch_member m
                              WHERE m.batch_id = b.id AND NOT holdfast.is_finished_v1(m.job_id));
            RETURN;
            """,
        ),
    ),
)
MEMBERS_SHARE_A_COUNTER = Mutation(
    "every member that ends counts in the row of its batch",
    (
        (
            "tell_batches_v1",
            "BEGIN\n",
            """BEGIN
            UPDATE holdfast.batch b SET completed = b.completed + 1
            FROM holdfast.batch_member m WHERE m.job_id = ANY (p_jobs) AND b.id = m.batch_id;
            """,
        ),
    ),
)
SETTLE_WITHOUT_LOCK = Mutation(
    "a settle does not hold the batch",
    (("settle_batch_v1", "WHERE b.id = p_id FOR UPDATE SKIP LOCKED", "WHERE b.id = p_id"),),
)
JOIN_HOLDS_NOTHING = Mutation(
    "a join looks at the batch and does not hold it",
    (("enqueue_into_v1", "b.cancelled_at IS NULL FOR KEY SHARE", "b.cancelled_at IS NULL"),),
)
CANCEL_LOOKS_ONCE = Mutation(
    "a settle leaves alone who joined a batch while it was being cancelled",
    (("settle_batch_v1", "IF v_batch.cancelled_at IS NOT NULL THEN", "IF false THEN"),),
)

CHECKPOINT_WITHOUT_LOCK = Mutation(
    "the fence of a checkpoint is a look, not a lock", (("save_checkpoints_v1", _LEASE_FENCE, _NO_FENCE),)
)
PROGRESS_WAITS = Mutation(
    "a report waits for whoever ends its lease", (("report_progress_v1", "FOR KEY SHARE SKIP LOCKED", "FOR KEY SHARE"),)
)

CAUGHT_BY: tuple[tuple[Mutation, Schedule], ...] = (
    (RESCUE_IN_ONE_STATEMENT, lease.completion_commits_while_a_rescue_looks),
    (RESCUE_IN_ONE_STATEMENT, lease.exit_commits_while_a_rescue_looks),
    (RESCUE_IGNORES_EXITS, lease.exit_commits_while_a_rescue_looks),
    (RESCUE_IGNORES_EXITS, lease.operator_retry_then_rescue_of_the_old_lease),
    (RETRY_WITHOUT_EXIT, lease.operator_retry_then_rescue_of_the_old_lease),
    (COMPLETION_WITHOUT_LOCK, lease.completion_arrives_during_a_rescue),
    (COMPLETION_WITHOUT_LOCK, lease.completion_commits_while_a_rescue_looks),
    (COMPLETION_WITHOUT_LEASE, lease.completion_arrives_during_a_rescue),
    (EXIT_WITHOUT_LOCK, lease.exit_arrives_during_a_rescue),
    (CLAIM_WITHOUT_WORKER, lease.death_is_declared_while_a_claim_is_open),
    (CLAIM_WITHOUT_WORKER, lease.claim_arrives_while_death_is_declared),
    (REPEAT_IS_REFUSED, lease.completion_is_repeated_after_a_lost_answer),
    (REPEAT_IS_ANYBODYS, lease.completion_is_repeated_after_a_lost_answer),
    (RELEASE_WAITS_FOR_NOBODY, lease.lost_answer_is_released_while_it_completes),
    (CANCELLED_JOBS_ARE_CLAIMED, queue.cancel_request_before_the_claim),
    (CLAIM_WAITS, queue.two_claims_at_once),
    (CLAIM_DOES_NOT_LOCK, queue.two_claims_at_once),
    (CLAIM_IGNORES_PAUSES, queue.pause_beside_a_claim),
    (MARK_IGNORES_WRITERS, queue.late_commit_of_an_early_number),
    (DUPLICATE_HOLDS_NOTHING, queue.duplicate_holds_the_waiting_job_back),
    (KEYS_NEVER_GO_STALE, queue.unique_enqueue_beside_its_completion),
    (REQUESTS_OUTLIVE_A_RETRY, queue.two_cancels_and_a_retry),
    (DROPPED_JOBS_KEEP_KEYS, queue.key_of_a_job_that_retention_has_dropped),
    (KEYS_IN_ORDER_OF_THE_INPUT, queue.overlapping_keys_in_opposite_order),
    (KEY_IN_ONE_STATEMENT, queue.first_enqueues_of_one_key_at_once),
    (SHARED_LEASES_FOR_ALL, queue.many_transactional_completions),
    (EDIT_WITHOUT_LOCK, verb.claim_during_an_edit),
    (EDIT_CALLS_NOBODY, verb.gate_opens_during_an_edit),
    (PUT_OFF_CALLS_NOBODY, verb.head_is_put_off_while_others_wait),
    (PUT_OFF_WITH_ITS_SLOTS, verb.head_is_put_off_while_others_wait),
    (PURGE_WITHOUT_EXIT, verb.purge_of_one_job_of_a_lease),
    (VERBS_WAIT, verb.purge_beside_an_enqueue_of_its_key),
    (DECISION_WITHOUT_LOCK, occurrence.two_decisions_at_once),
    (DECISION_WITHOUT_LOCK, occurrence.decision_after_another),
    (DECISION_WITHOUT_READING, occurrence.decision_after_another),
    (DECISION_WITHOUT_CLOCK, occurrence.decision_in_the_past),
    (DECISION_WITHOUT_VERSION, occurrence.decision_from_an_older_plan),
    (TRIGGER_WITHOUT_LOCK, occurrence.trigger_beside_a_decision),
    (BACKFILL_WITHOUT_LOCK, occurrence.two_backfills_at_once),
    (LAST_MEMBER_LOOKS_FOR_OTHERS, batch.two_last_members_end_at_once),
    (MEMBERS_SHARE_A_COUNTER, batch.two_last_members_end_at_once),
    (SETTLE_WITHOUT_LOCK, batch.two_workers_settle_at_once),
    (SETTLE_WITHOUT_LOCK, batch.somebody_joins_while_the_last_member_ends),
    (JOIN_HOLDS_NOTHING, batch.somebody_joins_while_the_last_member_ends),
    (JOIN_HOLDS_NOTHING, batch.somebody_joins_a_batch_that_is_just_ending),
    (CHECKPOINT_WITHOUT_LOCK, report.checkpoint_arrives_during_a_rescue),
    (CHECKPOINT_WITHOUT_LOCK, report.checkpoint_commits_while_a_rescue_looks),
    (PROGRESS_WAITS, report.progress_beside_a_transaction_that_ends_its_job),
    (CANCEL_LOOKS_ONCE, batch.somebody_joins_while_the_batch_is_cancelled),
)
