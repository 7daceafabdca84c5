#!/bin/sh
# Prints src/bindings.rs, made from the headers by bindgen (Debian's package of that name; written
# with 0.60.1):
#
#     ./make_bindings.sh >src/bindings.rs
#
# With TRPO_REAL=-DTRPO_DOUBLE for a library in double precision.
set -eu
cd "$(dirname "$0")"
bindgen headers.h --size_t-is-usize --no-prepend-enum-name --allowlist-function 'trpo_.*' \
    --allowlist-type 'trpo_.*' --allowlist-var 'TRPO_[A-Z_]*' --blocklist-item '(TRPO_MATH|trpo_math)_.*' \
    -- -std=c99 ${TRPO_REAL:-}
