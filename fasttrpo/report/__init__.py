"""Plots and reports of finished and running runs: `fasttrpo plot` and `fasttrpo report`.

`runs` reads folders, `groups` groups seeds of the same settings, `curves`, `statistics` and
`comparison` average and compare them, and `plot` draws a picture with matplotlib. `page` and the
modules of its sections (`*_card`, `*_cards`, `tables`, `remarks`) write one self-contained HTML
page, of the parts in `markup` and `svg`; they need only NumPy and Gymnasium.
"""
