"""Settings: the keywords of `TRPO` (`user`), and the resolved values for an agent (`agent`).

Other modules handle networks and features (`policy_kwargs`), schedules, the semantics of other
libraries (`peers`), and Stable-Baselines3's arguments that are not settings here.
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
