"""The fast path for Llama-family models on a CPU: packed attention, fused operations, compiled kernels."""
