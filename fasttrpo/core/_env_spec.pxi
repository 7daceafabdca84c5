# The structs that environments are: found, looked over, and their options' values.


def names():
    """The built-in environments."""
    found = []
    while trpo_env_builtin(len(found)) != NULL:
        found.append(trpo_env_builtin(len(found)).name.decode())
    return found


cdef object _doubles(const double *x, int count):
    """A copy (count,) float64; None for NULL."""
    return None if x == NULL else np.array([x[i] for i in range(count)], np.float64)


cdef const trpo_env *_found(source) except NULL:
    """A built-in environment by its name, or the one at a library's address, looked over."""
    cdef const trpo_env *env
    if isinstance(source, str):
        env = trpo_env_named(source.encode())
        if env == NULL:
            raise UserError(unknown("compiled environment", source, names()))
    else:
        env = <const trpo_env *><uintptr_t>source.address
    _look_over(env, str(source))
    return env


cdef _look_over(const trpo_env *env, str source):
    """ValueError names the field that makes a struct unusable."""
    if trpo_env_bad_field(env) == NULL:
        _check_option_names(env, source)
        return
    field = trpo_env_bad_field(env).decode()
    if field == "trpo_env":
        raise UserError(f"{source}: trpo_environment() returned NULL")
    if field == "version":
        raise UserError(
            f"{source} was built for version {env.version} of trpo_env.h, and this is version "
            f"{TRPO_ENV_VERSION}: compile it with this version's header"
        )
    if field == "struct_size":
        raise UserError(
            f"{source}: its trpo_env has {env.struct_size} bytes and this version's "
            f"{sizeof(trpo_env)}: compile it with this version's header, and set struct_size "
            "to sizeof(trpo_env)"
        )
    raise UserError(f"{source}: {field} {_what_is_wrong(env, field)}; see trpo_env.h")


cdef _check_option_names(const trpo_env *env, str source):
    """ValueError for one that Python could not pass as a keyword argument of its own."""
    seen = set()
    for i in range(env.n_options):
        name = bytes(env.options[i].name)
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise UserError(f"{source}: the option name {name!r} is not UTF-8") from None
        if text in seen:
            raise UserError(f"{source}: two options are named {text!r}")
        if text in RESERVED:
            raise UserError(f"{source}: no option can be named {text!r}, which fasttrpo uses")
        seen.add(text)


cdef str _what_is_wrong(const trpo_env *env, str field):
    numbers = {"obs_size": env.obs_size, "n_actions": env.n_actions,
               "state_bytes": env.state_bytes, "max_episode_steps": env.max_episode_steps}
    if field in numbers:
        return f"is {numbers[field]}, which is impossible"
    if field in ("obs_low", "act_low"):
        return f"and {field[:3]}_high are not bounds: one is missing, above the other, or NaN"
    if field == "choices":
        return "holds a number of choices that is impossible"
    if field == "mask":
        return "is for actions that are choices, and these are real numbers"
    if field == "options":
        return "are not all there: n_options, options with names, and config go together"
    return "is missing (NULL)"


def _number(name, value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"option {name} must be a number, got {value!r}") from None
    if not np.isfinite(number):
        raise UserError(f"option {name} must be finite, got {value!r}")
    return number
