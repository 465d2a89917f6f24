"""Partition files: built, checked, read back."""
