"""What lies between two frames of a clip, at any time and any size, with the network that comes with ungrid.

The clip is made here: parts of a photograph that scikit-image carries move over it, so that the truth is known at any time.
"""

import numpy as np
import skimage.data

from ungrid import sample_grid, upscale
from ungrid.upscale.synthetic import drawn, random_layers

layers = random_layers([skimage.data.astronaut()], side=128, fastest=10.0, rng=np.random.default_rng(4))
first, middle, second = (drawn(layers, time, 128) for time in (0.0, 0.5, 1.0))

model = upscale.load_video()
found = model.between(first, second, [0.25, 0.5, 0.75], 2)  # three frames of twice the size
field = model(first, second)  # the same as a field over (t, y, x)
detail = sample_grid(field, (3, 100, 100), region=((0.4, 0.6), (-0.3, 0.3), (-0.3, 0.3)))

alone = model.between(first, second, [0.5], 1)[0]
errors = [np.mean((picture - middle) ** 2) for picture in (alone, (first + second) / 2)]
gain_over_blending = 10 * np.log10(errors[1] / errors[0])
