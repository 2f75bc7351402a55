"""Studies over the workers of an executor: the numbers of one process, whichever worker dies; what is done is kept."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny import SIZES, THETA, tiny_fit, tiny_model

import mlsem_jax as ml
from mlsem_jax._block_files import BlockFolder, gaps
from mlsem_jax._spread import TRIES, spread

pytestmark = pytest.mark.timeout(300)

# blocks of 9 to 64 lanes share one compiled program with the tests of batches
COUNT, CHUNK, KEY = 36, 12, 11


def study(**options) -> object:
    return ml.montecarlo(tiny_model(), THETA, SIZES, options.pop("n_datasets", COUNT), KEY, chunk=CHUNK, **options)


@pytest.fixture(scope="module")
def whole():
    return study()


def same(a, b) -> None:
    np.testing.assert_array_equal(a.estimates, b.estimates)
    np.testing.assert_array_equal(a.se, b.se)
    np.testing.assert_array_equal(a.chisq, b.chisq)
    np.testing.assert_array_equal(a.status, b.status)


def spawned(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def kill_once(pids: Callable[[], list[int]], seen: list) -> Callable[[int, int], None]:
    """A progress function that kills a worker when the first block is done."""

    def progress(done: int, total: int) -> None:
        if not seen:
            os.kill(pids()[0], signal.SIGKILL)
        seen.append((done, total))

    return progress


def test_processes_one_of_which_is_killed(whole, tmp_path):
    """The pool breaks with its worker: the blocks that it took along are given to a new one like it."""
    seen: list = []
    with spawned(1) as pool:
        progress = kill_once(lambda: list(pool._processes), seen)
        same(study(executor=pool, path=tmp_path / "study", progress=progress), whole)
    assert [done for done, _ in seen] == [12, 24, 36]
    files = sorted(file.name for file in (tmp_path / "study").iterdir())
    assert files == ["000000000000.npz", "000000000012.npz", "000000000024.npz", "study.json"]
    # the folder is all that is needed
    same(study(path=tmp_path / "study", progress=lambda *_: pytest.fail("nothing is left to do")), whole)
    fewer = study(path=tmp_path / "study", n_datasets=20)
    np.testing.assert_array_equal(fewer.estimates, whole.estimates[:20])


def test_a_dask_cluster_one_worker_of_which_is_killed(whole):
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install 'mlsem_jax[dask]'")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        for folder in Path(__file__).parents[:2]:  # that of this module and that of tiny
            client.run(sys.path.insert, 0, str(folder))
        seen: list = []
        progress = kill_once(lambda: list(client.run(os.getpid).values()), seen)
        same(study(executor=client.get_executor(), progress=progress), whole)
    assert len(seen) == 3


def test_the_bootstrap_over_threads_and_from_its_folder(tmp_path):
    """In threads nothing is pickled on the way, and double precision is set in each."""
    fit, draws = tiny_fit(), {"n": 30, "key": 3, "chisq": True}
    plain = fit.bootstrap(**draws)
    with ThreadPoolExecutor(2) as pool:
        spread_out = fit.bootstrap(**draws, executor=pool, chunk=10, path=tmp_path / "boot")
    again = fit.bootstrap(**draws, path=tmp_path / "boot")
    here = fit.bootstrap(**draws, chunk=10)
    for other in (again, here):
        np.testing.assert_array_equal(spread_out.draws, other.draws)
        np.testing.assert_array_equal(spread_out.chisq, other.chisq)
    np.testing.assert_allclose(spread_out.draws, plain.draws, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(spread_out.table(), plain.table(), rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(fit.bootstrap(7, 3, chisq=True, path=tmp_path / "boot").draws, plain.draws[:7])
    parametric = fit.bootstrap(12, 3, type="parametric")
    with ThreadPoolExecutor(1) as pool:
        np.testing.assert_array_equal(fit.bootstrap(12, 3, type="parametric", executor=pool).draws, parametric.draws)
    with pytest.raises(ml.DataError, match="another study"):
        fit.bootstrap(30, 4, chisq=True, path=tmp_path / "boot")


def test_parts_of_a_study_share_a_folder(whole, tmp_path):
    """Two of three jobs run, the third is lost: the call without a part does its work."""
    first = study(path=tmp_path / "study", part=(0, 3))
    assert len(first) == CHUNK
    assert len(study(path=tmp_path / "study", part=(2, 3))) == 2 * CHUNK
    seen: list = []
    same(study(path=tmp_path / "study", progress=lambda *at: seen.append(at)), whole)
    assert seen == [(36, 36)]


def test_a_file_is_written_without_gaps(whole, tmp_path):
    """Blocks that are done out of order wait for those before them."""

    class Backwards(Executor):
        """Does what it is given when the last comes, and in this order."""

        calls: list = []

        def submit(self, function, /, *arguments):
            future: Future = Future()
            self.calls.append((future, function, arguments))
            if len(self.calls) == 3:
                for waiting, one, given in reversed(self.calls):
                    waiting.set_result(one(*given))
            return future

    lengths, path = [], tmp_path / "study.csv"
    progress = lambda *_: lengths.append(sum(1 for _ in path.open()) - 1 if path.exists() else 0)  # noqa: E731
    np.testing.assert_allclose(study(executor=Backwards(), path=path, progress=progress).estimates, whole.estimates)
    assert lengths == sorted(lengths)
    assert lengths[-1] == COUNT
    np.testing.assert_allclose(study(path=path).estimates, whole.estimates, rtol=1e-12)


def _double(common, first, count):
    return common * first


def _fail(common, first, count):
    raise ml.DataError(f"block {first} is wrong")


def _die(common, first, count):
    os._exit(1)


class Losing(Executor):
    """Loses every block `times` times."""

    def __init__(self, times: int):
        self.times, self.lost = times, {}

    def submit(self, function, /, *arguments):
        future, block = Future(), arguments[-1]
        self.lost[block] = self.lost.get(block, 0) + 1
        if self.lost[block] <= self.times:
            future.set_exception(ConnectionError("worker lost"))
        else:
            future.set_result(function(*arguments))
        return future


BLOCKS = [(0, 5), (5, 5), (10, 2)]


def test_a_block_is_given_out_again_but_not_for_ever():
    assert sorted(spread(Losing(TRIES - 1), _double, (2,), BLOCKS)) == [(0, 0), (1, 10), (2, 20)]
    with pytest.raises(ml.DataError, match=r"lost with its worker 3 times \(ConnectionError: worker lost\)"):
        list(spread(Losing(TRIES), _double, (2,), BLOCKS))


def test_a_block_that_kills_every_worker_is_given_up():
    with spawned(1) as pool, pytest.raises(ml.DataError, match="lost with its worker 3 times"):
        list(spread(pool, _die, (2,), BLOCKS[:1]))


def test_what_the_work_raises_is_raised_at_once():
    executor = Losing(0)
    with pytest.raises(ml.DataError, match=r"block \d+ is wrong"):
        list(spread(executor, _fail, (2,), BLOCKS))
    assert executor.lost == dict.fromkeys(BLOCKS, 1)
    with pytest.raises(ml.DataError, match="cannot be sent"):
        list(spread(executor, _double, (lambda: 0,), BLOCKS))


def test_what_is_refused(tmp_path):
    with pytest.raises(ml.DataError, match="would hang"):
        study(executor=ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")))
    with pytest.raises(ml.DataError, match="ProcessPoolExecutor"):
        tiny_fit().bootstrap(executor=4)
    for part in ((3, 3), (0, 0), 1, (0.5, 2), [0, 1]):
        with pytest.raises(ml.DataError, match="is part i of n"):
            study(path=tmp_path / "study", part=part)
    with pytest.raises(ml.DataError, match="share a folder"):
        study(path=tmp_path / "study.csv", part=(0, 2))
    with pytest.raises(ml.DataError, match="give a name without an ending"):
        tiny_fit().bootstrap(8, path=tmp_path / "boot.csv")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ml.DataError, match="holds other files"):
        study(path=tmp_path / "other")


def test_blocks_in_a_folder(tmp_path):
    """Blocks of other lengths, one inside the other, a short one from a study that was shorter, and a file that was cut off."""
    folder = BlockFolder(tmp_path / "blocks", {"key": 1})
    for first, length in ((0, 4), (4, 2), (4, 3), (4, 1), (12, 4)):
        folder.write(first, {"x": np.arange(first, first + length)})
    found = folder.read(14)
    assert np.concatenate([block["x"] for _, block in found]).tolist() == [*range(7), 12, 13]
    assert gaps(found, 14, 5) == [(7, 3), (10, 2)]
    assert gaps([], 7, 3) == [(0, 3), (3, 3), (6, 1)]
    with pytest.raises(ml.DataError, match="another study"):
        BlockFolder(tmp_path / "blocks", {"key": 2})
    file = tmp_path / "blocks" / "000000000012.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ml.DataError, match="Delete it: its block is computed again"):
        folder.read(14)
    # arrays of Python objects would be unpickled
    np.savez(file, x=np.array([{}], dtype=object))
    with pytest.raises(ml.DataError, match="cannot be read"):
        folder.read(14)
    assert json.loads((tmp_path / "blocks" / "study.json").read_text()) == {"key": 1}
