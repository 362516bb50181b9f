-- What the tests look at.

-- name: edges
-- Every edge by the names of its ends.
SELECT needs.display_name, needed.display_name, edge.confidence
FROM atlas.depends_on AS edge
JOIN atlas.vertex AS needs ON needs.id = edge.in_vertex_id
JOIN atlas.vertex AS needed ON needed.id = edge.out_vertex_id;

-- name: vertices
-- Every vertex and what it is.
SELECT display_name, kind FROM atlas.vertex;

-- name: vertex_id
-- The key of one vertex.
SELECT id FROM atlas.vertex WHERE canonical_id = $1;

-- name: claims
-- How many times anybody says that something needs something.
SELECT count(*) FROM atlas.dependency_claim;

-- name: submissions
-- Every submission in its order.
SELECT status, error_detail FROM atlas.sbom_submission ORDER BY id;

-- name: contributions
-- Who contributed how much.
SELECT person.name, done.number_of_commits
FROM atlas.contributed_to AS done JOIN atlas.contributor AS person ON person.id = done.contributor_id;

-- name: contributors
-- How many people are known.
SELECT count(*) FROM atlas.contributor;

-- name: latest_commit
-- The newest commit of the only repository.
SELECT latest_commit_at FROM atlas.vertex;

-- name: pony_of
-- The pony factor of one vertex in the newest snapshot.
SELECT score.pony_factor FROM atlas.vertex_score AS score JOIN atlas.vertex AS vertex ON vertex.id = score.vertex_id
WHERE vertex.canonical_id = $1 ORDER BY score.snapshot_id DESC LIMIT 1;

-- name: scores
-- The scores of the newest snapshot.
SELECT vertex.display_name, score.criticality, score.pony_factor, score.adoption
FROM atlas.vertex_score AS score JOIN atlas.vertex AS vertex ON vertex.id = score.vertex_id
WHERE score.snapshot_id = (SELECT max(id) FROM atlas.snapshot);

-- name: impatient
-- A wait for a lock is an error at once.
SET lock_timeout = '1ms';

-- name: somebody_waits
-- Whether a session of this database waits for a lock.
SELECT EXISTS (
    SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND pg_stat_activity.datname = current_database()
);

-- name: half_end
-- Changes a status without the rest that belongs to it.
UPDATE atlas.sbom_submission SET status = $1, error_detail = CASE WHEN $1 = 'failed' THEN 'x' END;
