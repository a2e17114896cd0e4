"""Files: every source that a field can be fitted to, everything that can be written of one."""

from ungrid.io.arrays import from_array as from_array
from ungrid.io.source import read as read
from ungrid.io.source import write as write
