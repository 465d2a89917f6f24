"""Has the steps of a sync done by the workers of a Dask cluster; state and verdicts stay here."""
