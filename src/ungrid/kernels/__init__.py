"""CPU kernels: arrays in, arrays out, nothing else. Each that has derivatives has a plain PyTorch twin; `flow` has none."""
