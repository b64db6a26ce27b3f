"""How the network's calls are computed: plain torch, the CPU's own kernels, compiled; chosen in one place."""
