"""Weights: files, names of other layouts, downloads, and loading a model by name."""
