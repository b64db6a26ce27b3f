"""A drawn scene to look at: a fox, a child and a bird in a meadow, in three dimensions of a sort, with exact masks."""
