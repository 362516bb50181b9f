-- What the adapters ask the stores directly: only counting, only outside the measured time.

-- name: raw_unfinished
-- What is ready or leased, and what the one-row insert has stored.
SELECT (SELECT count(*) FROM holdfast.ready WHERE queue = 'bench')
     + (SELECT coalesce(sum(cardinality(job_ids)), 0) FROM holdfast.lease)
     + (SELECT count(*) FROM raw_single) AS unfinished

-- name: holdfast_unfinished
-- What is ready or leased: a lease ends in the commit that records its last outcome.
SELECT (SELECT count(*) FROM holdfast.ready WHERE queue = 'bench')
     + (SELECT coalesce(sum(cardinality(job_ids)), 0) FROM holdfast.lease) AS unfinished

-- name: procrastinate_unfinished
-- Waiting or running; finished jobs stay in the same table.
SELECT count(*) AS unfinished FROM procrastinate_jobs WHERE status IN ('todo', 'doing')

-- name: pgqueuer_unfinished
-- The queue table holds only what is not finished; the log table is the history.
SELECT count(*) AS unfinished FROM pgqueuer

-- name: oban_unfinished
-- Waiting, scheduled, retrying or running.
SELECT count(*) AS unfinished FROM oban_jobs WHERE state NOT IN ('completed', 'discarded', 'cancelled')

-- name: dbos_unfinished
-- Workflows without a final state; a failed one counts as unfinished on purpose.
SELECT count(*) AS unfinished FROM dbos.workflow_status WHERE status <> 'SUCCESS' AND queue_name = 'bench'

-- name: absurd_unfinished
-- Tasks of the queue that are not completed.
SELECT count(*) AS unfinished FROM absurd.t_bench WHERE state <> 'completed'

-- name: chancy_unfinished
-- Jobs that have not succeeded.
SELECT count(*) AS unfinished FROM chancy_jobs WHERE state <> 'succeeded'

-- name: awa_unfinished
-- What was enqueued less what was completed: its own view over all places takes seconds without fresh statistics, and
-- would count against it. Segments that it prunes lose both at once.
SELECT (SELECT count(*) FROM awa.ready_entries)
     - (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)
     - (SELECT count(*) FROM awa.done_entries) AS unfinished
