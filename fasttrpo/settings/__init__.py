"""Settings: the keywords of `TRPO` (`user`), and the values that an agent gets (`agent`).

Other modules hold their rules: networks and features (`policy_kwargs`), schedules, the semantics of
other libraries (`peers`), and Stable-Baselines3's arguments that are not settings here.
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
