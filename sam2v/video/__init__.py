"""Frames in: sources of every kind, reading ahead, and fitting frames to the network."""
