"""Does steps: fetches archives and builds partitions, on this machine or another."""
