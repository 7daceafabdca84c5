"""The stages that can be called on their own, under the compiled core's names."""

from .advantages import gae
from .cg import conjugate_gradient
from .line_search import line_search

__all__ = ["conjugate_gradient", "gae", "line_search"]
