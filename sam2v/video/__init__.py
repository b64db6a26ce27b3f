"""Frames in and masks out: sources, prefetching, preprocessing and writers."""
