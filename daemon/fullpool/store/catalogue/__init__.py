"""Generations: what readers see."""
