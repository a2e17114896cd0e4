"""How good enlargements are, by the benchmarks' protocols.

`benchmark` (Lim et al. 2017 and after): small pictures by MATLAB's imresize (`bicubic.shrunk`), the luminance of the
difference (ITU-R BT.601, 8 bits), `scale` pixels left out on each side, PSNR of each picture, then their mean. Outputs are
clipped to [0, 1], and rounded to bytes only where asked. `div2k`: all three colours, scale + 6 pixels left out.
"""

import numpy as np

LUMINANCE = np.array([65.738, 129.057, 25.064]) / 256


def benchmark_psnr(found: np.ndarray, truth: np.ndarray, shave: int, *, luminance: bool = True) -> float:
    """The PSNR in dB of pictures (h, w, 3) in [0, 1] without `shave` pixels on each side."""
    difference = (found.astype(np.float64) - truth)[shave : len(truth) - shave, shave : truth.shape[1] - shave]
    if luminance:
        difference = difference @ LUMINANCE
    return float(-10 * np.log10(np.mean(difference**2)))
