-- The tables of the atlas. Lock order of every writer: submission, project, vertices by canonical_id, the own vertex,
-- contributors by email_hash. Whoever holds its own vertex asks for no other vertex, so writers cannot deadlock.

-- name: install
-- Creates what is missing and touches nothing that is there; concurrent starters queue on one advisory lock.
SELECT pg_advisory_xact_lock(7216450281113);

CREATE SCHEMA IF NOT EXISTS atlas;

CREATE TABLE IF NOT EXISTS atlas.project (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    canonical_id    text NOT NULL UNIQUE CHECK (length(canonical_id) <= 512),
    activity_status text NOT NULL DEFAULT 'live'
                    CHECK (activity_status IN ('live', 'in-dev', 'discontinued', 'non-responsive'))
);

CREATE TABLE IF NOT EXISTS atlas.vertex (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    canonical_id     text NOT NULL UNIQUE CHECK (length(canonical_id) <= 512),
    -- external-repo: named by a document, but nobody handed in a document or a history for it
    kind             text NOT NULL CHECK (kind IN ('repo', 'external-repo')),
    display_name     text NOT NULL,
    latest_version   text,
    licence          text,
    homepage         text,
    project_id       bigint REFERENCES atlas.project,
    latest_commit_at timestamptz,
    CHECK (kind = 'external-repo' OR project_id IS NOT NULL)
);
CREATE INDEX IF NOT EXISTS vertex_project_id ON atlas.vertex (project_id);

-- Who says so is part of the key: replacing the claims of one document prunes exactly what it no longer says.
CREATE TABLE IF NOT EXISTS atlas.dependency_claim (
    claimed_by    bigint NOT NULL REFERENCES atlas.vertex,
    confidence    text NOT NULL CHECK (confidence IN ('verified-sbom', 'inferred-shadow')),
    in_vertex_id  bigint NOT NULL REFERENCES atlas.vertex,
    out_vertex_id bigint NOT NULL REFERENCES atlas.vertex,
    version_range text,
    PRIMARY KEY (claimed_by, confidence, in_vertex_id, out_vertex_id),
    CHECK (in_vertex_id <> out_vertex_id)
);
CREATE INDEX IF NOT EXISTS dependency_claim_edge ON atlas.dependency_claim (in_vertex_id, out_vertex_id);

-- "in" needs "out". One row an edge, however many say so; the word of a verified document wins.
CREATE OR REPLACE VIEW atlas.depends_on AS
SELECT DISTINCT ON (in_vertex_id, out_vertex_id) in_vertex_id, out_vertex_id, version_range, confidence
FROM atlas.dependency_claim
ORDER BY in_vertex_id, out_vertex_id, confidence = 'verified-sbom' DESC, claimed_by = in_vertex_id DESC, claimed_by;

CREATE TABLE IF NOT EXISTS atlas.contributor (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email_hash bytea NOT NULL UNIQUE CHECK (length(email_hash) = 32),
    name       text NOT NULL
);

CREATE TABLE IF NOT EXISTS atlas.contributed_to (
    contributor_id    bigint NOT NULL REFERENCES atlas.contributor,
    vertex_id         bigint NOT NULL REFERENCES atlas.vertex,
    number_of_commits integer NOT NULL CHECK (number_of_commits > 0),
    first_commit_at   timestamptz NOT NULL,
    last_commit_at    timestamptz NOT NULL CHECK (last_commit_at >= first_commit_at),
    PRIMARY KEY (vertex_id, contributor_id)
);

CREATE TABLE IF NOT EXISTS atlas.sbom_submission (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository    text NOT NULL,
    actor         text NOT NULL,
    content_hash  text NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    artifact_path text NOT NULL,
    status        text NOT NULL CHECK (status IN ('pending', 'processed', 'failed', 'duplicate', 'superseded')),
    error_detail  text CHECK (length(error_detail) <= 4096),
    submitted_at  timestamptz NOT NULL DEFAULT now(),
    processed_at  timestamptz,
    CHECK ((status = 'failed') = (error_detail IS NOT NULL)),
    CHECK ((status = 'pending') = (processed_at IS NULL))
);
CREATE INDEX IF NOT EXISTS sbom_submission_repository ON atlas.sbom_submission (repository, id DESC);
CREATE INDEX IF NOT EXISTS sbom_submission_pending ON atlas.sbom_submission (id) WHERE status = 'pending';

-- One row for each attempt to read a history.
CREATE TABLE IF NOT EXISTS atlas.gitlog_artifact (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path         text NOT NULL,
    vertex_id    bigint REFERENCES atlas.vertex,
    since_months integer NOT NULL,
    status       text NOT NULL CHECK (status IN ('processed', 'failed')),
    error_detail text CHECK (length(error_detail) <= 4096),
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'failed') = (error_detail IS NOT NULL))
);

-- A figure and where it comes from; a repository may have several sources of one figure (downloads of each package).
CREATE TABLE IF NOT EXISTS atlas.usage_figure (
    vertex_id bigint NOT NULL REFERENCES atlas.vertex,
    figure    text NOT NULL CHECK (figure IN ('downloads', 'stars', 'forks')),
    source    text NOT NULL,
    value     bigint NOT NULL CHECK (value >= 0),
    PRIMARY KEY (vertex_id, figure, source)
);

-- Scores are never overwritten: each set belongs to a snapshot that names its inputs.
CREATE TABLE IF NOT EXISTS atlas.snapshot (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inputs_hash text NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS atlas.vertex_score (
    snapshot_id bigint NOT NULL REFERENCES atlas.snapshot ON DELETE CASCADE,
    vertex_id   bigint NOT NULL REFERENCES atlas.vertex,
    criticality integer NOT NULL,
    pony_factor integer,
    adoption    numeric(5, 2),
    PRIMARY KEY (snapshot_id, vertex_id)
);

CREATE TABLE IF NOT EXISTS atlas.project_score (
    snapshot_id bigint NOT NULL REFERENCES atlas.snapshot ON DELETE CASCADE,
    project_id  bigint NOT NULL REFERENCES atlas.project,
    criticality integer NOT NULL,
    pony_factor integer,
    adoption    numeric(5, 2),
    PRIMARY KEY (snapshot_id, project_id)
);
