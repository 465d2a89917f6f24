"""What people look at first: the coverage map, and what stands behind its cells."""
