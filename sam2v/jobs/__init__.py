"""Work in units, by crews of processes or Ray actors, shared among the ranks of torchrun, resumed when interrupted."""
