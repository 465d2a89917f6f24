"""The state: what is known, in one DuckDB file with one writer."""
