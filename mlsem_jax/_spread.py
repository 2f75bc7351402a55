"""Work in blocks over a `concurrent.futures.Executor`: given out at once, taken as it is done, given out again if a worker is lost.

What the work itself raises comes back as a value, so that an exception of a future means that the executor lost it. Work goes to
the workers and back by pickle, between processes that trust each other; nothing that lies on a disk is unpickled.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import DataError

# how often a block is given out, and how many times in a row a pool may break without one block done in between
TRIES = 3


def check_executor(executor: Any) -> None:
    """DataError for what is no executor, and for a pool of forked processes, in which JAX hangs."""
    if executor is None:
        return
    if not isinstance(executor, Executor):
        hint = " A Dask client has one: client.get_executor()." if hasattr(executor, "get_executor") else ""
        raise DataError(
            "executor= takes a concurrent.futures.Executor, such as ProcessPoolExecutor(4, "
            f"mp_context=multiprocessing.get_context('spawn')), not {type(executor).__name__}.{hint}"
        )
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and getattr(context, "get_start_method", str)() == "fork":
        raise DataError(
            "executor= forks this process, in which JAX runs threads, and the children would hang. Use fresh processes: "
            "ProcessPoolExecutor(4, mp_context=multiprocessing.get_context('spawn')), under if __name__ == '__main__'."
        )


def spread(executor: Executor, function: Callable, common: tuple, blocks: Sequence[tuple]) -> Iterator[tuple[int, Any]]:
    """(number of the block, function(*common, *block)) of all blocks, in the order in which they are done.

    A block whose worker is lost is given out again, TRIES times in all; a `ProcessPoolExecutor` that broke with its worker is
    replaced by one like it. DataError where that does not help. What the function raises is raised here.
    """
    _check_travels(function, common, blocks)
    pool, tries = _Pool(executor), Counter(range(len(blocks)))
    waiting: dict[Future, int] = {}
    try:
        for number in range(len(blocks)):
            waiting[pool.submit(_guarded, function, common, blocks[number])] = number
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            lost: dict[int, BaseException] = {}
            for future in done:
                number = waiting.pop(future)
                failure = _failure(future)
                if failure is not None:
                    lost[number] = failure
                    continue
                pool.breaks = 0
                error, result = future.result()
                if error is not None:
                    raise error
                yield number, result
            for number, failure in lost.items():
                if not isinstance(failure, BrokenExecutor):  # a pool that broke took innocent blocks with it
                    tries[number] += 1
                if tries[number] > TRIES:
                    raise _given_up(failure) from failure
                waiting[pool.submit(_guarded, function, common, blocks[number])] = number
    finally:
        for future in waiting:
            future.cancel()
        pool.close()


def in_blocks(
    executor: Executor | None, function: Callable, common: tuple[Any, ...], blocks: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, Any]]:
    """(first item, function(*common, first, number)) of every block as it is done, here or by an executor's workers."""
    if executor is None:
        yield from ((first, function(*common, first, count)) for first, count in blocks)
    else:
        yield from ((blocks[number][0], found) for number, found in spread(executor, function, common, blocks))


def portable_key(key: Any) -> Any:
    """A key that can be pickled: an integer, or the words and the kind of a key of `jax.random`."""
    if isinstance(key, Integral):
        return int(key)
    return np.asarray(jax.random.key_data(key)), str(jax.random.key_impl(key))


def key_of(portable: Any) -> Any:
    """The key of `jax.random` that it stands for."""
    if isinstance(portable, int):
        return jax.random.key(portable)
    return jax.random.wrap_key_data(jnp.asarray(portable[0]), impl=portable[1])


class _Pool:
    """An executor, or the one that took its place after it broke."""

    def __init__(self, executor: Executor):
        self.executor, self.breaks, self.own = executor, 0, False

    def submit(self, *call: Any) -> Future:
        while True:
            try:
                return self.executor.submit(*call)
            except BrokenExecutor as failure:
                self.breaks += 1
                if self.breaks >= TRIES or type(self.executor) is not ProcessPoolExecutor:
                    raise _given_up(failure) from failure
                broken, self.executor = self.executor, _like(self.executor)
                if self.own:
                    broken.shutdown(wait=False, cancel_futures=True)
                self.own = True

    def close(self) -> None:
        if self.own:
            self.executor.shutdown(wait=False, cancel_futures=True)


def _like(pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
    """A new pool with the settings of one that broke."""
    kept = {
        "max_workers": "_max_workers",
        "mp_context": "_mp_context",
        "initializer": "_initializer",
        "initargs": "_initargs",
        "max_tasks_per_child": "_max_tasks_per_child",
    }
    settings = {name: getattr(pool, attribute, None) for name, attribute in kept.items()}
    return ProcessPoolExecutor(**{name: value for name, value in settings.items() if value is not None})


def _guarded(function: Callable, common: tuple, block: tuple) -> tuple[Exception | None, Any]:
    """In the worker: (None, result), or (what was raised, None)."""
    try:
        return None, function(*common, *block)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # this worker's own
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}"), None
        return error, None


def _failure(future: Future) -> BaseException | None:
    """Why a future that is done has no result, None if it has one."""
    if future.cancelled():
        return ConnectionError("the executor cancelled it")
    failure = future.exception()
    if failure is not None and not isinstance(failure, Exception):
        raise failure
    return failure


def _check_travels(function: Callable, common: tuple, blocks: Sequence[tuple]) -> None:
    try:
        pickle.dumps((function, common, blocks[:1]))
    except Exception as error:
        raise DataError(
            f"What the workers of executor= need cannot be sent to them ({type(error).__name__}: {error})."
        ) from error


def _given_up(failure: BaseException) -> DataError:
    shown = str(failure).split("\n")[0][:200]
    return DataError(
        f"A block of the work was lost with its worker {TRIES} times ({type(failure).__name__}: {shown}). Do the workers have "
        "enough memory, and can they import mlsem_jax? Code that starts processes belongs under if __name__ == '__main__'. With "
        "path= what is done is kept: call again with a new executor."
    )
