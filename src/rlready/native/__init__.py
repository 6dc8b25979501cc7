"""Kernels in C for what torch does in many passes over memory: compiled once, by the machine's own compiler."""
