-- What the jobs of the atlas say to its tables. Lock order: see schema.sql.

-- name: submit
-- Records documents in the order given; one that repeats the last word of its repository is a duplicate and ends here.
-- Served by sbom_submission_repository. $1 repositories, $2 actor, $3 hashes, $4 artifact paths.
INSERT INTO atlas.sbom_submission (repository, actor, content_hash, artifact_path, status, processed_at)
SELECT given.repository, $2::text, given.content_hash, given.artifact_path,
       CASE WHEN repeats THEN 'duplicate' ELSE 'pending' END,
       CASE WHEN repeats THEN clock_timestamp() END
FROM unnest($1::text[], $3::text[], $4::text[]) WITH ORDINALITY
     AS given (repository, content_hash, artifact_path, position)
CROSS JOIN LATERAL (
    SELECT coalesce((
        SELECT earlier.content_hash = given.content_hash AND earlier.status <> 'failed'
        FROM atlas.sbom_submission AS earlier
        WHERE earlier.repository = given.repository AND earlier.status <> 'duplicate'
        ORDER BY earlier.id DESC
        LIMIT 1
    ), false) AS repeats
) AS known
ORDER BY given.position
RETURNING id, repository, status;

-- name: pending_submissions
-- Every document that still waits, whoever handed it in: what a crash left between recording and enqueueing is found.
SELECT id FROM atlas.sbom_submission WHERE status = 'pending' ORDER BY id;

-- name: submission
-- One submission as it stands, without a lock.
SELECT repository, artifact_path, status FROM atlas.sbom_submission WHERE id = $1::bigint;

-- name: lock_submission
-- One submission, held until the end of the transaction.
SELECT repository, status FROM atlas.sbom_submission WHERE id = $1::bigint FOR UPDATE;

-- name: newer_processed
-- Whether a later document of the same repository has been taken over already.
SELECT EXISTS (
    SELECT 1 FROM atlas.sbom_submission
    WHERE repository = $1::text AND id > $2::bigint AND status = 'processed'
);

-- name: end_submission
-- Gives a submission its final status; one that another attempt ended stays as it is unless $4 allows to revise a failure.
UPDATE atlas.sbom_submission
SET status = $2::text, error_detail = left($3::text, 4096), processed_at = clock_timestamp()
WHERE id = $1::bigint AND (status = 'pending' OR ($4::boolean AND status = 'failed'))
RETURNING id;

-- name: add_projects
-- Makes the projects that are missing, in name order; an existing one is neither changed nor locked.
INSERT INTO atlas.project (canonical_id)
SELECT canonical_id FROM unnest($1::text[]) AS given (canonical_id) ORDER BY canonical_id
ON CONFLICT (canonical_id) DO NOTHING;

-- name: add_vertices
-- Makes the vertices that are missing, in name order; existing ones are neither changed nor locked, because a package
-- that everybody needs would otherwise let one writer through at a time.
INSERT INTO atlas.vertex (canonical_id, kind, display_name, latest_version, licence, homepage)
SELECT canonical_id, 'external-repo', display_name, latest_version, licence, homepage
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
     AS given (canonical_id, display_name, latest_version, licence, homepage)
ORDER BY canonical_id
ON CONFLICT (canonical_id) DO NOTHING;

-- name: lock_vertex
-- The writer's own vertex: two writers of one repository take turns here. Key references from other writers pass.
SELECT id FROM atlas.vertex WHERE canonical_id = $1::text FOR NO KEY UPDATE;

-- name: describe_vertex
-- What the repository itself says about itself; nothing is written when nothing is new.
UPDATE atlas.vertex AS vertex
SET kind = 'repo', display_name = $2::text, latest_version = $3::text, licence = $4::text, homepage = $5::text,
    project_id = project.id
FROM atlas.project AS project
WHERE vertex.id = $1::bigint AND project.canonical_id = $6::text
  AND (vertex.kind, vertex.display_name, vertex.latest_version, vertex.licence, vertex.homepage, vertex.project_id)
      IS DISTINCT FROM ('repo', $2::text, $3::text, $4::text, $5::text, project.id);

-- name: withdraw_claims
-- Forgets what a repository said before and does not say any more. $3, $4: what it says now (needs, needed).
DELETE FROM atlas.dependency_claim AS claim
USING atlas.vertex AS needs, atlas.vertex AS needed
WHERE claim.claimed_by = $1::bigint AND claim.confidence = $2::text
  AND needs.id = claim.in_vertex_id AND needed.id = claim.out_vertex_id
  AND NOT EXISTS (
      SELECT 1 FROM unnest($3::text[], $4::text[]) AS said (needs, needed)
      WHERE said.needs = needs.canonical_id AND said.needed = needed.canonical_id
  );

-- name: add_claims
-- Records what a repository says, once an edge; saying it again changes nothing.
INSERT INTO atlas.dependency_claim (claimed_by, confidence, in_vertex_id, out_vertex_id, version_range)
SELECT $1::bigint, $2::text, needs.id, needed.id, said.version_range
FROM unnest($3::text[], $4::text[], $5::text[]) AS said (needs, needed, version_range)
JOIN atlas.vertex AS needs ON needs.canonical_id = said.needs
JOIN atlas.vertex AS needed ON needed.canonical_id = said.needed
WHERE needs.id <> needed.id
ON CONFLICT (claimed_by, confidence, in_vertex_id, out_vertex_id) DO UPDATE
SET version_range = excluded.version_range
WHERE dependency_claim.version_range IS DISTINCT FROM excluded.version_range;

-- name: describe_history
-- Makes a vertex a repository with a history; the newest commit seen is never lowered. A package's own words stay.
UPDATE atlas.vertex AS vertex
SET kind = 'repo', project_id = coalesce(vertex.project_id, project.id),
    latest_commit_at = greatest(vertex.latest_commit_at, $2::timestamptz)
FROM atlas.project AS project
WHERE vertex.id = $1::bigint AND project.canonical_id = $3::text;

-- name: add_contributors
-- Makes or renames people, in the order of their hashes: one row a hash, whoever sees it first.
INSERT INTO atlas.contributor (email_hash, name)
SELECT email_hash, name FROM unnest($1::bytea[], $2::text[]) AS given (email_hash, name) ORDER BY email_hash
ON CONFLICT (email_hash) DO UPDATE SET name = excluded.name
WHERE contributor.name IS DISTINCT FROM excluded.name;

-- name: forget_departed
-- Who has no commit within the window any more does not count any more.
DELETE FROM atlas.contributed_to AS done
USING atlas.contributor AS person
WHERE done.vertex_id = $1::bigint AND person.id = done.contributor_id AND person.email_hash <> ALL ($2::bytea[]);

-- name: record_contributions
-- Overwrites what each person did in a repository; nothing is written when nothing is new.
INSERT INTO atlas.contributed_to (contributor_id, vertex_id, number_of_commits, first_commit_at, last_commit_at)
SELECT person.id, $1::bigint, given.commits, given.first_at, given.last_at
FROM unnest($2::bytea[], $3::integer[], $4::timestamptz[], $5::timestamptz[])
     AS given (email_hash, commits, first_at, last_at)
JOIN atlas.contributor AS person USING (email_hash)
ON CONFLICT (vertex_id, contributor_id) DO UPDATE
SET number_of_commits = excluded.number_of_commits, first_commit_at = excluded.first_commit_at,
    last_commit_at = excluded.last_commit_at
WHERE (contributed_to.number_of_commits, contributed_to.first_commit_at, contributed_to.last_commit_at)
      IS DISTINCT FROM (excluded.number_of_commits, excluded.first_commit_at, excluded.last_commit_at);

-- name: record_gitlog
-- One line about one attempt to read a history.
INSERT INTO atlas.gitlog_artifact (path, vertex_id, since_months, status, error_detail)
VALUES ($1::text, $2::bigint, $3::integer, $4::text, left($5::text, 4096));

-- name: record_figure
-- The latest value of one figure from one source.
INSERT INTO atlas.usage_figure (vertex_id, figure, source, value)
SELECT id, $2::text, $3::text, $4::bigint FROM atlas.vertex WHERE canonical_id = $1::text
ON CONFLICT (vertex_id, figure, source) DO UPDATE SET value = excluded.value;

-- name: lock_scores
-- One computation of scores at a time, so the last snapshot is also the newest.
SELECT pg_advisory_xact_lock(7216450281114);

-- name: scored_vertices
-- Every vertex with its project, whether it counts as alive, and whether a history of it was ever read.
SELECT vertex.id, vertex.project_id,
       coalesce(vertex.kind = 'repo' AND project.activity_status IN ('live', 'in-dev'), false) AS active,
       vertex.latest_commit_at IS NOT NULL AS has_history
FROM atlas.vertex AS vertex LEFT JOIN atlas.project AS project ON project.id = vertex.project_id
ORDER BY vertex.id;

-- name: edges
-- Every edge once.
SELECT in_vertex_id, out_vertex_id FROM atlas.depends_on ORDER BY in_vertex_id, out_vertex_id;

-- name: commit_counts
-- Commits of each person in each repository.
SELECT vertex_id, contributor_id, number_of_commits FROM atlas.contributed_to ORDER BY vertex_id, contributor_id;

-- name: usage_totals
-- The figures of each repository, summed over their sources.
SELECT vertex_id, figure, sum(value)::bigint AS value FROM atlas.usage_figure
GROUP BY vertex_id, figure ORDER BY vertex_id, figure;

-- name: latest_snapshot
-- The newest scores and the inputs they were made of.
SELECT id, inputs_hash, made_at FROM atlas.snapshot ORDER BY id DESC LIMIT 1;

-- name: add_snapshot
-- A new, still empty set of scores.
INSERT INTO atlas.snapshot (inputs_hash) VALUES ($1::text) RETURNING id;

-- name: add_vertex_scores
-- The scores of vertices in one snapshot.
INSERT INTO atlas.vertex_score (snapshot_id, vertex_id, criticality, pony_factor, adoption)
SELECT $1::bigint, * FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::numeric[]);

-- name: add_project_scores
-- The scores of projects in one snapshot.
INSERT INTO atlas.project_score (snapshot_id, project_id, criticality, pony_factor, adoption)
SELECT $1::bigint, * FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::numeric[]);

-- name: changed_scores
-- How many vertices a snapshot scores otherwise than the one before it.
SELECT count(*) FROM atlas.vertex_score AS now
LEFT JOIN atlas.vertex_score AS before
       ON before.vertex_id = now.vertex_id
      AND before.snapshot_id = (SELECT max(id) FROM atlas.snapshot WHERE id < $1::bigint)
WHERE now.snapshot_id = $1::bigint
  AND (before.criticality, before.pony_factor, before.adoption)
      IS DISTINCT FROM (now.criticality, now.pony_factor, now.adoption);

-- name: nodes
-- Everything a reader is shown about a vertex. A package without a history of its own has its project's pony factor.
SELECT vertex.id, vertex.canonical_id, vertex.display_name, vertex.kind, vertex.latest_version, vertex.licence,
       project.canonical_id AS project, score.criticality, score.adoption,
       coalesce(score.pony_factor, whole.pony_factor) AS pony_factor,
       coalesce(direct.dependents, 0) AS direct_dependents, coalesce(done.contributors, 0) AS contributors,
       coalesce(done.commits, 0) AS commits, vertex.latest_commit_at
FROM atlas.vertex AS vertex
JOIN atlas.vertex_score AS score ON score.vertex_id = vertex.id AND score.snapshot_id = $1::bigint
LEFT JOIN atlas.project AS project ON project.id = vertex.project_id
LEFT JOIN atlas.project_score AS whole ON whole.project_id = project.id AND whole.snapshot_id = $1::bigint
LEFT JOIN (
    SELECT out_vertex_id, count(*) AS dependents FROM atlas.depends_on GROUP BY out_vertex_id
) AS direct ON direct.out_vertex_id = vertex.id
LEFT JOIN (
    SELECT vertex_id, count(*) AS contributors, sum(number_of_commits)::bigint AS commits
    FROM atlas.contributed_to GROUP BY vertex_id
) AS done ON done.vertex_id = vertex.id
ORDER BY score.criticality DESC, vertex.canonical_id;

-- name: projects
-- Every project with its scores, the most needed first.
SELECT project.canonical_id, score.criticality, score.pony_factor, score.adoption,
       (SELECT count(*) FROM atlas.vertex AS vertex WHERE vertex.project_id = project.id) AS repositories
FROM atlas.project_score AS score JOIN atlas.project AS project ON project.id = score.project_id
WHERE score.snapshot_id = $1::bigint
ORDER BY score.criticality DESC, project.canonical_id;

-- name: failures_since
-- What went wrong from a moment on: failed documents and histories, and documents that are still waiting.
SELECT 'sbom' AS kind, repository AS item, coalesce(error_detail, 'not processed') AS reason
FROM atlas.sbom_submission
WHERE (status = 'failed' AND processed_at >= $1::timestamptz) OR status = 'pending'
UNION ALL
SELECT 'gitlog', path, error_detail FROM atlas.gitlog_artifact
WHERE status = 'failed' AND processed_at >= $1::timestamptz
ORDER BY 1, 2, 3;

-- name: installed
-- Whether the tables are there: the dashboard may be older than the first run.
SELECT to_regclass('atlas.snapshot') IS NOT NULL;

-- name: server_time
-- The clock that the rows are stamped with.
SELECT clock_timestamp();
