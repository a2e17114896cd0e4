"""Seeded generators. The package never touches a global generator."""

import torch


def torch_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A new torch generator on `device`, seeded with `seed`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    return generator
