"""Tracking: prompts, tracks, sessions and the engine that steps a frame."""
