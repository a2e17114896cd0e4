"""Samples, and the points at which the terms of an objective are evaluated."""

from ungrid.sampling.batch import AllPoints as AllPoints
from ungrid.sampling.batch import Batch as Batch
from ungrid.sampling.batch import RandomPoints as RandomPoints
from ungrid.sampling.batch import Sampler as Sampler
from ungrid.sampling.cameras import Camera as Camera
from ungrid.sampling.cameras import CameraArrays as CameraArrays
from ungrid.sampling.cameras import camera_rays as camera_rays
from ungrid.sampling.cameras import corner_directions as corner_directions
from ungrid.sampling.grids import GridBatches as GridBatches
from ungrid.sampling.samples import GridSamples as GridSamples
from ungrid.sampling.samples import PointSamples as PointSamples
