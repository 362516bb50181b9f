-- The one clock of the schema.

-- Every function and statement of ours that asks for the time asks here. It is clock_timestamp(), not now(): inside a
-- long transaction time must go on. The setting holdfast.clock_offset exists so that tests can move time instead of
-- waiting; it reaches no further than the session or transaction that sets it.
create function holdfast.now() returns timestamptz
    language sql volatile parallel safe
as $$
    select pg_catalog.clock_timestamp()
         + coalesce(nullif(pg_catalog.current_setting('holdfast.clock_offset', true), ''), '0')::interval
$$;

comment on function holdfast.now() is 'The time by which everything in this schema is judged; tests move it with holdfast.clock_offset.';
