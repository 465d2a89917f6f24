"""Archives: listed, chosen, fetched, brought into partitions."""
