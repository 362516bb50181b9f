-- The whole schema, for reading. Generated from a migrated database by `make schema`; do not edit.
-- The files of migrations/ make it; a test proves that they make exactly this, and `holdfast db validate` compares a
-- live database with it. Partitions are left out: they are made as days go by.

-- Functions may name what stands further down.
set check_function_bodies = off;
