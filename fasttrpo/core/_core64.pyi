"""The types of the core with float64 as its `real`: those of _core32."""

from fasttrpo.core._core32 import EPISODE as EPISODE
from fasttrpo.core._core32 import INSTRUCTION_SET as INSTRUCTION_SET
from fasttrpo.core._core32 import REAL as REAL
from fasttrpo.core._core32 import Agent as Agent
from fasttrpo.core._core32 import Memory as Memory
from fasttrpo.core._core32 import PlainRows as PlainRows
from fasttrpo.core._core32 import Theory as Theory
from fasttrpo.core._core32 import conjugate_gradient as conjugate_gradient
from fasttrpo.core._core32 import cores as cores
from fasttrpo.core._core32 import distributions as distributions
from fasttrpo.core._core32 import exp as exp
from fasttrpo.core._core32 import expm1 as expm1
from fasttrpo.core._core32 import gae as gae
from fasttrpo.core._core32 import instruction_sets as instruction_sets
from fasttrpo.core._core32 import line_search as line_search
from fasttrpo.core._core32 import settings_table as settings_table
from fasttrpo.core._core32 import sin as sin
from fasttrpo.core._core32 import status_text as status_text
from fasttrpo.core._core32 import tanh as tanh
