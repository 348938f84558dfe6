"""``python -m tokencache``: which library this package found."""

from . import __version__
from .library import path

print(f"tokencache {__version__} from {path}")
