"""Files: every source that a field can be fitted to, everything that can be written of one."""

from ungrid.io.arrays import from_array as from_array
from ungrid.io.field_file import load_model as load_model
from ungrid.io.field_file import read_header as read_header
from ungrid.io.field_file import save as save
from ungrid.io.field_file import save_model as save_model
from ungrid.io.field_store import FieldStore as FieldStore
from ungrid.io.field_store import load as load
from ungrid.io.source import read as read
from ungrid.io.source import write as write
