"""Gaps: found, asked for, filled or explained."""
