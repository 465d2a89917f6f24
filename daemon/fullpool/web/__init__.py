"""The local page over a lake: what it has, what is missing, and why. Only reads."""
