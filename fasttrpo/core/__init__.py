"""The door to the compiled core: its Cython bindings, and the choice between it and the twin.

A source tree that is imported itself may lack its extensions: `source_tree` finds or misses them.
"""

import os

if os.path.exists(os.path.join(os.path.dirname(os.path.dirname(__path__[0])), "setup.py")):
    from fasttrpo.core import source_tree

    source_tree.complete(__path__)
