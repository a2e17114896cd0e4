"""CPU kernels: arrays in, arrays out, nothing else. Each has a plain PyTorch twin."""
