"""Puts the pieces together. The only reader of the clock and the environment."""
