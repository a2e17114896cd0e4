"""Looking at fields: one HTML file that evaluates a field in a browser, and a live viewer that renders them here."""

from ungrid.viewer.live import Scenery as Scenery
from ungrid.viewer.live import Viewer as Viewer
from ungrid.viewer.share import SharedPage as SharedPage
from ungrid.viewer.share import share as share
