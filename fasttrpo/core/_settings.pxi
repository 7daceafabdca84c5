# The core's table of settings, which is used to fill in a trpo_settings.

_TYPES = {TRPO_INT: "int", TRPO_REAL: "real", TRPO_FLAG: "flag", TRPO_WORD: "word",
          TRPO_SIZES: "sizes", TRPO_SEED: "seed"}


def settings_table():
    """The rows of csrc/include/trpo_settings.h, as dicts with the fields of `settings.row.Row`."""
    rows = []
    while trpo_setting_at(len(rows)) != NULL:
        rows.append(_row(trpo_setting_at(len(rows))))
    return rows


cdef dict _row(const trpo_setting *row):
    return {"name": row.name.decode(), "type": _TYPES[row.type], "default": row.initial,
            "low": row.low, "high": row.high, "low_open": row.low_open,
            "high_open": row.high_open, "words": _words(row), "meaning": row.meaning.decode()}


cdef tuple _words(const trpo_setting *row):
    words = []
    while row.words != NULL and row.words[len(words)] != NULL:
        words.append(row.words[len(words)].decode())
    return tuple(words)


cdef int _number(const trpo_setting *row, word) except -1:
    """The enumerator that a word names."""
    words = _words(row)
    if word not in words:
        raise UserError(f"setting {row.name.decode()} is out of range: {word!r}")
    return words.index(word)


cdef list _fill(trpo_settings *c, settings):
    """Sets every field from the attribute of the same name; returns the arrays c points into."""
    arrays = []
    cdef const trpo_setting *row
    cdef int i = 0
    while trpo_setting_at(i) != NULL:
        row = trpo_setting_at(i)
        value = getattr(settings, row.name.decode())
        if row.type == TRPO_SIZES:
            value = np.array(value, np.intc)
            arrays.append(value)
        _put(<char *>c, row, value)
        i += 1
    return arrays


cdef _put(char *c, const trpo_setting *row, value):
    cdef void *field = c + row.offset
    if row.type == TRPO_SIZES:
        (<const int **>field)[0] = <const int *>_data(value)
        (<int *>(c + row.count_offset))[0] = len(value)
    elif row.type == TRPO_REAL:
        (<double *>field)[0] = value
    elif row.type == TRPO_SEED:
        (<uint64_t *>field)[0] = value
    else:
        (<int *>field)[0] = _number(row, value) if row.type == TRPO_WORD else value
