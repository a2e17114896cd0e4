"""How good a field is: errors against samples, similarity of pictures, of shapes, of point sets, and of intervals."""

from ungrid.metrics.intervals import coverage as coverage
from ungrid.metrics.intervals import interval_score as interval_score
from ungrid.metrics.pointwise import mae as mae
from ungrid.metrics.pointwise import mse as mse
from ungrid.metrics.pointwise import psnr as psnr
from ungrid.metrics.pointwise import relative_l2 as relative_l2
from ungrid.metrics.pointwise import rmse as rmse
from ungrid.metrics.shapes import chamfer as chamfer
from ungrid.metrics.shapes import iou as iou
from ungrid.metrics.similarity import ms_ssim as ms_ssim
from ungrid.metrics.similarity import ssim as ssim
