"""Which of XLA's compile options the backend at hand knows."""

from __future__ import annotations

import functools

import jax


@functools.lru_cache
def known_option(name: str, value: bool | int) -> dict[str, bool | int] | None:
    """`{name: value}` for `jax.jit(compiler_options=...)` where the default backend takes it, else None.

    An option that XLA has dropped, or has for another backend, stops every compilation that asks for it, so a program of one
    constant is compiled with it first (3 to 11 ms, once a process). Not at import: naming the backend starts JAX.
    """
    option = {name: value}
    try:
        jax.jit(lambda: 0.0).lower().compile(compiler_options=option)
    except Exception:  # jaxlib raises its JaxRuntimeError, whose place and base have moved between versions
        return None
    return option
