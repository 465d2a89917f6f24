"""The daemon: its loop, its life, and what it says of itself."""
