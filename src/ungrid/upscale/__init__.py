"""Images at any scale: networks that turn a picture into a continuous one."""

from ungrid.upscale.degradation import is_spoilt as is_spoilt
from ungrid.upscale.evaluation import benchmark_psnr as benchmark_psnr
from ungrid.upscale.evaluation import bicubic as bicubic
from ungrid.upscale.evaluation import mean_psnr as mean_psnr
from ungrid.upscale.evaluation import pair as pair
from ungrid.upscale.loading import Upscaler as Upscaler
from ungrid.upscale.loading import load as load
from ungrid.upscale.photographs import Photograph as Photograph
from ungrid.upscale.photographs import read_photograph as read_photograph
from ungrid.upscale.photographs import stored_type as stored_type
from ungrid.upscale.photographs import write_photograph as write_photograph
from ungrid.upscale.pictures import Batch as Batch
from ungrid.upscale.pictures import Crops as Crops
from ungrid.upscale.pictures import Queries as Queries
from ungrid.upscale.pictures import picture_files as picture_files
from ungrid.upscale.pictures import read_pictures as read_pictures
from ungrid.upscale.resize import resized as resized
from ungrid.upscale.resize import shrunk as shrunk
from ungrid.upscale.tiles import enlarge as enlarge
from ungrid.upscale.tiles import fractions as fractions
from ungrid.upscale.training import Schedule as Schedule
from ungrid.upscale.training import Training as Training
from ungrid.upscale.training import processes as processes
