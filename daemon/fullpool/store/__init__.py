"""Everything on disk: partitions, state, catalogue. The one owner of DuckDB."""
