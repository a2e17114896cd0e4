"""Exact derivatives of a fitted field: the slope of a hill that was only sampled."""

import numpy as np
import torch

import ungrid

n = 48
at = (np.arange(n) + 0.5) / n * 2 - 1
y, x = np.meshgrid(at, at, indexing="ij")
hill = np.exp(-2 * (x**2 + y**2)).astype(np.float32)

field = ungrid.fit(hill, steps=600).field
points = torch.tensor([[0.3, 0.1], [-0.4, 0.2], [0.0, 0.5]])
jet = ungrid.Jet(field, points)
exact = -4 * points[:, 1:] * torch.exp(-2 * points.square().sum(dim=1, keepdim=True))
largest_slope_error = (jet.d("x") - exact).abs().max().item()
