"""Rows out of the lake, as other programs read them."""
