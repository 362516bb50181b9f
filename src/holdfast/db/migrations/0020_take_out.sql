-- The plans of take_out_v1 are kept, and may have been made while the tables were empty: then a cancel read every job there is.
ALTER FUNCTION holdfast.take_out_v1(bigint[]) SET enable_seqscan = off;
