"""Sphinx: pages in Markdown, the reference from docstrings, tables from ``benchmarks/results``; `make docs` builds them.

Convention: warnings are errors, links within the pages among them; the code blocks of the pages are run by
``tests/examples``. Formulas are written in plain letters, so that the pages load nothing from elsewhere.
"""

from pathlib import Path

from ungrid import __version__

ROOT = Path(__file__).parents[1]

project = "ungrid"
author = "the authors of ungrid"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"ungrid {__version__}"
html_copy_source = False
html_show_copyright = False
exclude_patterns = ["_build", "pictures/make.py"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "signature"  # jaxtyping's annotations say the shapes
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False
suppress_warnings = ["docutils", "ref.python"]  # a docstring is plain text; a class is known by two rooms' names
