"""Builds whose gates are broken on purpose, each with a schedule that must find it out."""

from __future__ import annotations

from tests.interleavings import gate_schedules as gates
from tests.interleavings import straight_schedules as straight
from tests.interleavings.stage import Mutation, Schedule

ENQUEUE_DOES_NOT_CALL = Mutation(
    "an enqueue leaves no call",
    (("place_v1", "FROM before_gates GROUP BY gate", "FROM before_gates WHERE false GROUP BY gate"),),
)
ENQUEUE_TAKES_THE_LOCK = Mutation(
    "an enqueue holds the lock of the gates",
    (
        (
            "enqueue_v1",
            "IF p_gates IS NOT NULL THEN",
            "IF p_gates IS NOT NULL THEN\nPERFORM pg_advisory_xact_lock_shared(1212574, 0);",
        ),
    ),
)
ENQUEUE_LOCKS_ITS_LANE = Mutation(
    "an enqueue locks its lane",
    (
        (
            "enqueue_v1",
            "IF p_gates IS NOT NULL THEN",
            "IF p_gates IS NOT NULL THEN\nPERFORM pg_advisory_xact_lock(99, hashtext(g)) FROM unnest(p_gates) AS g;",
        ),
    ),
)
LOOKS_BESIDE_EACH_OTHER = Mutation(
    "looks do not exclude each other", (("admit_v1", "pg_try_advisory_xact_lock(1212574, 0)", "true"),)
)
SLOTS_ARE_NOT_COUNTED = Mutation(
    "a limit does not count its slots",
    (
        (
            "room_v1",
            "- (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate AND s.job_id",
            "- 0 * (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate AND s.job_id",
        ),
    ),
)
SLOTS_OUTLIVE_THEIR_JOBS = Mutation(
    "the slot of a job that has ended stays taken",
    (
        (
            "tell_company_v1",
            "DELETE FROM holdfast.slot s WHERE s.job_id = ANY (p_jobs)",
            "DELETE FROM holdfast.slot s WHERE false",
        ),
    ),
)
LIMITS_ARE_TAKEN_ONE_BY_ONE = Mutation(
    "a job takes those of its limits that have room",
    (
        (
            "seat_v1",
            "ELSE i.stop IS NULL AND starts_with(e.gate, 'limit:') END",
            "ELSE starts_with(e.gate, 'limit:') END",
        ),
    ),
)
LOST_HEADS_LOSE_THEIR_LANE = Mutation(
    "a job that leaves its lease gives its lane back",
    (("tell_company_v1", "(m.move < 10 OR NOT starts_with(s.gate, 'lane:'))", "true"),),
)
LANES_LET_TWO_IN = Mutation(
    "a lane lets in whoever waits",
    (("heads_v1", "ORDER BY b.rank, b.seq LIMIT 1)) AS h", "ORDER BY b.rank, b.seq LIMIT 2)) AS h"),),
)
DUPLICATE_HOLDS_NOBODY_BEFORE_A_GATE = Mutation(
    "a duplicate does not hold a job before its gate",
    (("hold_waiting_v1", "WHERE b.job_id = p_job FOR KEY SHARE", "WHERE b.job_id = p_job"),),
)
LOOK_WAITS = Mutation(
    "a look waits for what others hold",
    (("seat_simply_v1", "FOR UPDATE SKIP LOCKED", "FOR UPDATE"),),
)
CLAIMS_BESIDE_A_LOOK = Mutation(
    "a claim goes to the line while somebody looks",
    (("find_straight_v1", "NOT pg_try_advisory_xact_lock(1212574, 0)", "false"),),
)
CLAIM_WAITS_FOR_A_LOOK = Mutation(
    "a claim waits for a look",
    (("find_straight_v1", "NOT pg_try_advisory_xact_lock(1212574, 0)", "pg_advisory_xact_lock(1212574, 0) IS NULL"),),
)
CLAIM_WAITS_BEFORE_A_GATE = Mutation(
    "a claim waits for whoever holds a job before its gate",
    (("find_straight_v1", "FOR UPDATE SKIP LOCKED", "FOR UPDATE"),),
)
SLOTS_OF_A_LEASE_ARE_NOT_COUNTED = Mutation(
    "slots taken straight are not counted",
    (("room_v1", "sum(cardinality(l.job_ids))", "0 * sum(cardinality(l.job_ids))"),),
)
LANE_IS_NOT_LOOKED_AT_AGAIN = Mutation(
    "a lane that was kept is taken for free",
    (("find_straight_v1", "(l.at > v_kept OR NOT EXISTS", "(true OR NOT EXISTS"),),
)
LOWEST_SLOT_STAYS = Mutation(
    "a claim takes a slot below the lowest of its lane",
    (("find_straight_v1", "(random() < 0.03 OR g.low_slot > h.job_id)", "false"),),
)
CLAIM_TAKES_THE_NEXT_BUT_ONE = Mutation(
    "a claim passes by the next of a lane that somebody holds",
    (("find_straight_v1", "ORDER BY b.rank, b.seq LIMIT 1) AS h", "ORDER BY b.rank, b.seq LIMIT 2) AS h"),),
)
CALLS_MOVE_NO_MARK = Mutation(
    "a newcomer before the mark of its gate does not move it",
    (("calls_v1", "SET mark_rank = least(o.rank, g.mark_rank), mark_seq = 0", "SET mark_rank = g.mark_rank"),),
)
LINES_HAVE_NO_MARK = Mutation(
    "a claim goes through its line from the beginning",
    (("find_straight_v1", "(b.rank, b.seq) >= (v_line.mark_rank, v_line.mark_seq)", "b.rank >= 0"),),
)
SLOTS_OUTLIVE_THEIR_LEASE = Mutation(
    "slots taken straight stay when their lease is left",
    (("tell_company_v1", "v_left := holdfast.leave_lease_slots_v1(p_jobs, p_leases);", ""),),
)
LEAVING_TOGETHER_FORGETS = Mutation(
    "of two that leave a lease together the second puts back what the first has given back",
    (
        (
            "leave_lease_slots_v1",
            "SET job_ids = ARRAY(SELECT unnest(s.job_ids) EXCEPT SELECT unnest(p_jobs)) WHERE",
            (
                "SET job_ids = ARRAY(SELECT unnest(o.job_ids) EXCEPT SELECT unnest(p_jobs)) FROM (SELECT lease, job_ids"
                " FROM holdfast.lease_slot OFFSET 0) o WHERE o.lease = s.lease AND"
            ),
        ),
        ("leave_lease_slots_v1", "ORDER BY s.lease FOR NO KEY UPDATE", ""),
    ),
)

CAUGHT_AT_THE_GATES: tuple[tuple[Mutation, Schedule], ...] = (
    (ENQUEUE_DOES_NOT_CALL, gates.enqueue_commits_after_its_lane_was_freed),
    (ENQUEUE_TAKES_THE_LOCK, gates.completion_and_look_beside_an_open_enqueue),
    (ENQUEUE_LOCKS_ITS_LANE, gates.lanes_in_opposite_order),
    (LOOKS_BESIDE_EACH_OTHER, gates.two_looks_at_once),
    (SLOTS_ARE_NOT_COUNTED, gates.more_wait_than_there_are_slots),
    (SLOTS_OUTLIVE_THEIR_JOBS, gates.more_wait_than_there_are_slots),
    (LIMITS_ARE_TAKEN_ONE_BY_ONE, gates.several_limits_of_one_job),
    (LOST_HEADS_LOSE_THEIR_LANE, gates.rescue_of_a_head),
    (LOST_HEADS_LOSE_THEIR_LANE, gates.return_of_a_head_beside_a_look),
    (LANES_LET_TWO_IN, gates.lanes_in_opposite_order),
    (DUPLICATE_HOLDS_NOBODY_BEFORE_A_GATE, gates.duplicate_of_a_job_before_a_gate),
    (LOOK_WAITS, gates.duplicate_of_a_job_before_a_gate),
    (LOOK_WAITS, gates.cancel_of_a_job_before_a_gate),
    (CLAIMS_BESIDE_A_LOOK, straight.claim_beside_a_look),
    (CLAIM_WAITS_FOR_A_LOOK, straight.claim_beside_a_look),
    (CLAIM_WAITS_BEFORE_A_GATE, straight.claim_beside_a_duplicate),
    (SLOTS_OF_A_LEASE_ARE_NOT_COUNTED, straight.claims_one_after_another),
    (SLOTS_OUTLIVE_THEIR_LEASE, straight.claims_one_after_another),
    (SLOTS_OUTLIVE_THEIR_LEASE, straight.rescue_of_many),
    (LEAVING_TOGETHER_FORGETS, straight.two_leave_together),
    (CLAIMS_BESIDE_A_LOOK, straight.lane_kept_beside_a_look),
    (CLAIM_WAITS_FOR_A_LOOK, straight.lane_kept_beside_a_look),
    (LANE_IS_NOT_LOOKED_AT_AGAIN, straight.lane_kept_beside_a_look),
    (CLAIM_WAITS_BEFORE_A_GATE, straight.lane_whose_next_is_held),
    (CLAIM_TAKES_THE_NEXT_BUT_ONE, straight.lane_whose_next_is_held),
    (LOWEST_SLOT_STAYS, straight.lane_goes_on_below_its_lowest_slot),
    (CALLS_MOVE_NO_MARK, straight.newcomer_before_the_mark_of_its_lane),
)
