"""The field types. All field classes live here."""

from ungrid.fields.blocks import BlockField as BlockField
from ungrid.fields.field import Field as Field
from ungrid.fields.function import FunctionField as FunctionField
from ungrid.fields.latent import LatentField as LatentField
from ungrid.fields.nerf import NerfField as NerfField
from ungrid.fields.neural import NeuralField as NeuralField
from ungrid.fields.patches import PatchField as PatchField
from ungrid.fields.radiance import BrickField as BrickField
from ungrid.fields.radiance import RadianceField as RadianceField
from ungrid.fields.slabs import SlabField as SlabField
from ungrid.fields.spline import SplineField as SplineField
from ungrid.fields.stepped import SteppedField as SteppedField
from ungrid.fields.video import VideoField as VideoField
