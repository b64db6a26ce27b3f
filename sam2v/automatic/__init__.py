"""Masks of everything: proposed from grids of points, filtered and told apart, without a prompt (Kirillov et al. 2023,
"Segment Anything", section 4 and appendix B)."""
