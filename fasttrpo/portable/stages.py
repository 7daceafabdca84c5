"""The stages that stand alone, under the names by which the compiled core offers them too."""

from .advantages import gae
from .cg import conjugate_gradient
from .line_search import line_search

__all__ = ["conjugate_gradient", "gae", "line_search"]
