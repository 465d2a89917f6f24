"""Runs the steps of a sync on a Dask cluster; lock, state and verdicts stay with the sync."""
