"""Work in pieces: on a pool of processes, shared among the ranks of torchrun, resumed after an interruption."""
