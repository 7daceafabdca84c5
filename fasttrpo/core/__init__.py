"""The Cython bindings of the compiled core, and the choice between it and the portable twin.

When imported from a source tree, `source_tree` looks for the extensions.
"""

import os

if os.path.exists(os.path.join(os.path.dirname(os.path.dirname(__path__[0])), "setup.py")):
    from fasttrpo.core import source_tree

    source_tree.complete(__path__)
