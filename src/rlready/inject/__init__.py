"""Behaviours written into worked rows, after BRIDGE (Cen et al., arXiv 2505.18917), and the baselines beside them."""
