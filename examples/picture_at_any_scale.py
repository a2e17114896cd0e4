"""Enlarge a photograph by 2.7 with the network that comes with ungrid, and ask its field for derivatives and details.

The photograph is one that scikit-image carries; shrunk first, so that the truth is known.
"""

import numpy as np
import skimage.data

from ungrid import sample_grid, upscale

truth = skimage.data.astronaut()[54:324, 108:378]  # 270 x 270 pixels
small = upscale.resized(truth, (100, 100)).astype(np.float32) / 255

model = upscale.load("light")
larger = model.enlarge(small, 2.7)
field = model(small)  # a field like any other
detail = sample_grid(field, (200, 200), region=((-0.2, 0.2), (-0.1, 0.3)))
slopes = sample_grid(field, (50, 50), region=((-0.2, 0.2), (-0.1, 0.3)), quantity="gradient")

plain = upscale.bicubic(small, truth.shape[:2])
ours, theirs = (upscale.benchmark_psnr(picture.clip(0, 1), truth / 255, 3) for picture in (larger, plain))
gain_over_bicubic = ours - theirs
