"""Settings: what a user may set (`user`), and what an agent makes of it (`agent`).

Beside them stand what has rules of its own: networks and features (`policy_kwargs`), schedules, the
peers' semantics (`peers`), and Stable-Baselines3's arguments that are no settings here.
"""

from fasttrpo.settings.user import (
    ACCEPTANCES,
    BACKENDS,
    KL_DIRECTIONS,
    MOST_THREADS,
    PEERS,
    POLICIES,
    Settings,
    change,
    check_rows,
    forget,
    make_settings,
    signature,
)

__all__ = [
    "ACCEPTANCES",
    "BACKENDS",
    "KL_DIRECTIONS",
    "MOST_THREADS",
    "PEERS",
    "POLICIES",
    "Settings",
    "change",
    "check_rows",
    "forget",
    "make_settings",
    "signature",
]
