"""Holdfast beside the raw SQL limit and its peers: one server, one run, interleaved rounds. See README.md."""
