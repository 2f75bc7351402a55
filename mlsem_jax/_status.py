"""How an estimation ended: one code, one sentence, what to do next."""

from __future__ import annotations

import enum
import functools


class Status(enum.IntEnum):
    """Outcome of an estimation. `converged` is True for a verified maximum, proper or not."""

    CONVERGED = 0
    BOUNDARY = 1
    IMPROPER = 2
    NOT_IDENTIFIED = 3
    NO_MAXIMUM = 4
    ITERATION_LIMIT = 5
    NON_FINITE = 6
    STALLED = 7

    @property
    def converged(self) -> bool:
        return self in (Status.CONVERGED, Status.BOUNDARY, Status.IMPROPER)

    @property
    def sentence(self) -> str:
        return _OF_LEAST_SQUARES.get(self, _SENTENCES[self]) if self._minimised else _SENTENCES[self]

    @property
    def advice(self) -> str:
        return _ADVICE[self].replace("optim_method='em', ", "") if self._minimised else _ADVICE[self]

    @property
    def _minimised(self) -> bool:
        """Whether a discrepancy function was minimised: the words are of that then, where others are of a likelihood."""
        return "least_squares" in self.__dict__

    def __str__(self) -> str:
        return self.sentence


_SENTENCES = {
    Status.CONVERGED: "The estimation converged to a maximum of the likelihood.",
    Status.BOUNDARY: "The estimation converged to a constrained maximum: at least one bound or inequality is active.",
    Status.IMPROPER: "The estimation converged to a maximum of the likelihood with an improper parameter.",
    Status.NOT_IDENTIFIED: "The likelihood is flat in some direction: the model is not identified by these data.",
    Status.NO_MAXIMUM: "The likelihood has no maximum: it keeps rising towards the edge of the parameter space.",
    Status.ITERATION_LIMIT: "The estimation stopped at the iteration limit before it reached a maximum.",
    Status.NON_FINITE: "The likelihood is not finite at the starting values or on the way from them.",
    Status.STALLED: "The estimation stopped where no step raises the likelihood although the gradient is not zero.",
}

_ADVICE = {
    Status.CONVERGED: "",
    Status.BOUNDARY: "Standard errors treat active bounds as fixed; tests of parameters on a bound are not chi-square.",
    Status.IMPROPER: "A negative variance often means a variance near zero: fix it at 0, or use bounds='pos.var'.",
    Status.NOT_IDENTIFIED: "Fix or equate one of the parameters named, or drop the variable that has no information.",
    Status.NO_MAXIMUM: "Simplify the part that runs off, with two levels usually the between model; keep variances at or above "
    "zero (bounds='pos.var' of sem and its like); or collect more data.",
    Status.ITERATION_LIMIT: "Give better start() values, simplify the model, or raise the iteration limit.",
    Status.NON_FINITE: "Check the scale of the variables and the start() values.",
    Status.STALLED: "Try optim_method='em', other start() values, or a simpler model (with two levels, between).",
}


@functools.cache
def of_least_squares(code: int) -> Status:
    """The `Status` of an estimation by least squares (WLSMV and its like): equal to the one of the same code, in other words."""
    known = Status(code)
    found = int.__new__(Status, int(code))
    found.__dict__ |= known.__dict__ | {"least_squares": True}
    return found


_OF_LEAST_SQUARES = {
    Status.CONVERGED: "The estimation converged to a minimum of the discrepancy function.",
    Status.BOUNDARY: "The estimation converged to a constrained minimum: at least one bound or inequality is active.",
    Status.IMPROPER: "The estimation converged to a minimum of the discrepancy function with an improper parameter.",
    Status.NOT_IDENTIFIED: "The discrepancy function is flat in some direction: the model is not identified by these data.",
    Status.NO_MAXIMUM: "The discrepancy function has no minimum: it keeps falling towards the edge of the parameter space.",
    Status.ITERATION_LIMIT: "The estimation stopped at the iteration limit before it reached a minimum.",
    Status.NON_FINITE: "The discrepancy function is not finite at the starting values or on the way from them.",
    Status.STALLED: "The estimation stopped where no step lowers the discrepancy function although the gradient is not zero.",
}
