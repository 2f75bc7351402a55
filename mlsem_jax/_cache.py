"""Compiled programs that outlive the process."""

from __future__ import annotations

import os
from pathlib import Path


def enable_compilation_cache(path: str | os.PathLike[str] | None = None) -> Path:
    """Keep compiled programs on disk, so that the next process starts warm. This changes JAX's configuration, once, on request.

    **Arguments:**

    - `path`: folder of the cache. Default: `JAX_COMPILATION_CACHE_DIR` where that is set, otherwise `mlsem_jax` in the user's
      cache folder (`XDG_CACHE_HOME` or `~/.cache`).

    **Returns:** the folder.
    """
    import jax

    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(path or os.environ.get("JAX_COMPILATION_CACHE_DIR") or home / "mlsem_jax")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
