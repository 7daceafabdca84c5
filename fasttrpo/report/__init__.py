"""Finished and running runs, looked at: `fasttrpo plot` and `fasttrpo report`.

`runs` reads folders and puts seeds of the same settings into groups, `curves` and `statistics`
average them, `plot` draws a PNG with matplotlib; `diagnostics`, `remarks`, `svg` and `page` make
one HTML page, which needs nothing but NumPy to write and nothing but a browser to read.
"""
