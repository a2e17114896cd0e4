"""Looking at fields: one HTML file that evaluates a field in a browser."""

from ungrid.viewer.share import SharedPage as SharedPage
from ungrid.viewer.share import share as share
