"""Masks out: writers of pictures, data sets, archives and overlay videos, one by one or together in the background."""
