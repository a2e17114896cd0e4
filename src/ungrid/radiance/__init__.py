"""Photographs to radiance fields, and radiance fields to new views."""

from ungrid.radiance.evaluate import evaluate_views as evaluate_views
from ungrid.radiance.evaluate import held_out_metrics as held_out_metrics
from ungrid.radiance.evaluate import protocol as protocol
from ungrid.radiance.nerf import NerfSettings as NerfSettings
from ungrid.radiance.nerf import reconstruct_nerf as reconstruct_nerf
from ungrid.radiance.page import share_scene as share_scene
from ungrid.radiance.reconstruct import reconstruct as reconstruct
from ungrid.radiance.render import Renderer as Renderer
from ungrid.radiance.scale import check_marks as check_marks
from ungrid.radiance.scale import scale_of as scale_of
from ungrid.radiance.scale import scaled as scaled
from ungrid.radiance.surface import surface as surface
