"""Networks: features to values."""

from ungrid.networks.continuous import ContinuousNetwork as ContinuousNetwork
from ungrid.networks.continuous import LightNetwork as LightNetwork
from ungrid.networks.decoder import GridDecoder as GridDecoder
from ungrid.networks.encoders import EDSR as EDSR
from ungrid.networks.encoders import RDN as RDN
from ungrid.networks.encoders import LightEncoder as LightEncoder
from ungrid.networks.half_lattice import HalfLattice as HalfLattice
from ungrid.networks.light_video import LightVideo as LightVideo
from ungrid.networks.liif import LIIF as LIIF
from ungrid.networks.liif import MetaSR as MetaSR
from ungrid.networks.linear import Linear as Linear
from ungrid.networks.mlp import MLP as MLP
from ungrid.networks.siren import Siren as Siren
from ungrid.networks.spline_kernels import SplineKernels as SplineKernels
from ungrid.networks.subpixel import SubPixel as SubPixel
from ungrid.networks.video_inr import VideoINR as VideoINR
