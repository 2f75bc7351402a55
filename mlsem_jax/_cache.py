"""Compiled programs that outlive the process."""

from __future__ import annotations

import os
from pathlib import Path

from mlsem_jax._errors import DataError


def enable_compilation_cache(path: str | os.PathLike[str] | None = None) -> Path:
    """Keep compiled programs on disk, so that the next process starts warm. This changes JAX's configuration, once, on request.

    **Arguments:**

    - `path`: folder of the cache. Default: `JAX_COMPILATION_CACHE_DIR` where that is set, otherwise `mlsem_jax` in the user's
      cache folder (`~/.cache` or `XDG_CACHE_HOME` on Linux, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows).

    **Returns:** the folder, which is made where it does not exist. DataError where nothing can be written there.
    """
    import jax
    import platformdirs

    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise DataError(f"path must be the name of a folder, not {path!r}.")
    own = platformdirs.user_cache_path("mlsem_jax", appauthor=False)
    folder = Path(path or os.environ.get("JAX_COMPILATION_CACHE_DIR") or own)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise DataError(
            f"The folder {str(folder)!r} for compiled programs cannot be made: {error.strerror or error}."
        ) from None
    if not writable:
        raise DataError(
            f"Nothing can be written into the folder {str(folder)!r} for compiled programs: give another path."
        )
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
