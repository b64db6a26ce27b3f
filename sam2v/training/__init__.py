"""Training: losses, simulated prompts, the unroll of a clip, and the loop around them."""
