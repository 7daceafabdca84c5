"""Plots and reports of finished and running runs: `fasttrpo plot` and `fasttrpo report`.

`runs` reads folders and groups seeds of the same settings, `curves` and `statistics` average them,
and `plot` draws a PNG with matplotlib. `diagnostics`, `remarks`, `svg` and `page` write one
self-contained HTML page; they need only NumPy.
"""
