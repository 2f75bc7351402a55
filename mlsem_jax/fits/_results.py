"""The methods of a Fit that say what follows from the estimates. They delegate to `mlsem_jax.inference` and `mlsem_jax.report`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlsem_jax import inference, report
from mlsem_jax._arguments import (
    CONFIDENCE,
    FLAG,
    KEY,
    Refused,
    Rule,
    check,
    checked,
    choice,
    either,
    names,
    number,
    optional,
    whole,
    words,
)
from mlsem_jax._errors import DataError, ModelError, ModelWarning, listing
from mlsem_jax.data import SurveyColumns, TwoLevelData, column_names, group_labels, prepare, read_known
from mlsem_jax.estimation import Estimation, own_roles
from mlsem_jax.syntax import read_added

if TYPE_CHECKING:
    import pandas as pd


def _progress(value: Any) -> Any:
    if not callable(value):
        raise Refused()
    return value


PROGRESS = either(FLAG, Rule("a function of (done, total)", _progress))
LEVEL = Rule("1 (scores of rows) or 2 (scores of clusters)", whole(1, 2).read)
OPERATORS = ("=~", "~", "~~", "~1", "|", "~*~")


def _equalities(value: Any) -> list[int]:
    """Numbers of equalities, one or several."""
    one = whole(1)
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__") or getattr(value, "shape", None) == ():
        return [one.read(value)]
    return [one.read(number) for number in value]


class ResultMethods:
    """Moments, residuals, indices and scores of a fit; results of several groups are dictionaries by group label."""

    estimation: Estimation
    text: str
    warnings: tuple[str, ...]

    @cached_property
    def _results(self) -> report.Results:
        """What summaries and pictures are made of; what costs time in it is computed once."""
        return report.Results(self.estimation, self.text, self.warnings)

    # -- moments
    def implied(self) -> dict[str, Any]:
        """Model-implied moments, {"within": {"cov": DataFrame, "mean": Series}, "between": {...}}; {group: {...}} for groups.

        With one level {"cov": DataFrame, "mean": Series}, "mean" where there is a mean structure. With estimator="WLSMV" they are
        those of latent responses with a within variance of 1, given the covariates, with thresholds, "th", where the means are.
        """
        return self._results.implied()

    def h1(self) -> dict[str, Any]:
        """Moments of the saturated model, in the form of `implied()`; with estimator="WLSMV" thresholds, "th", and polychoric
        covariances of the data, by variable and by pair, and "slopes" on covariates.
        """
        return self._results.h1()

    def icc(self) -> Any:
        """Intraclass correlations of the level-1 variables from the saturated model; 0 for within-only ones.

        Of ordered variables they are those of latent responses: with estimator="ML" the model's own, with estimator="WLSMV" those
        of the polychoric covariances.
        """
        return self._results.icc()

    def residuals(self, type: inference.ResidualType = "raw") -> dict[str, Any]:
        """Moments of the saturated model less implied ones, in the form of `implied()`.

        "raw"; "cor": difference of the correlation matrices; "z": raw over its standard error. The mean of a variable in both
        levels is compared as a whole and stands at level 2.
        """
        return self._results.residuals(type)

    def rsquare(self) -> Any:
        """Share of explained variance of the endogenous variables: {"within": Series, "between": Series}; one level, one Series."""
        return self._results.rsquare()

    # -- scales
    @checked(
        obs_var=optional(FLAG),
        se=FLAG,
        level=CONFIDENCE,
        ci=choice("wald", "profile", "bootstrap"),
        n=whole(1),
        key=KEY,
    )
    def reliability(
        self,
        obs_var: bool | None = None,
        se: bool = False,
        level: float = 0.95,
        ci: report.ReliabilityInterval = "wald",
        n: int = 1000,
        key: Any = 0,
    ) -> Any:
        """Reliability of the scale of every factor, one row each: alpha and omega by level, AVE, H, ICC of factors.

        - `omega_within`, `omega_between_latent`: of the items' latent parts at a level (Geldhof et al. 2014);
          `omega_between`: of observed cluster means, with their sampling error (a shared construct, Lai 2021); `omega_2l`: of raw
          scores (a configural construct, Lai 2021). `alpha_...`: the same with equal loadings.
        - `irr`: agreement of a cluster's members about it; `ave_...`: average variance extracted; `h_...`: maximal reliability;
          `icc_factor`: share of the factor's variance between clusters, where the loadings are equal across the levels.

        A factor goes by its name: the same name at both levels has all columns. With one level there are `omega_within` (omega),
        `alpha_within`, `ave_within` and `h_within`. What is not defined is NaN, and `table.attrs["undefined"]` says why.

        **Arguments:**

        - `obs_var`: the variance of the sum of the items is that of the saturated model (True), or of the model itself. Default:
          True, but False with ordered items, whose coefficients are those of latent responses with variance 1 (within clusters,
          where there are two levels), as ordinal alpha and omega are (Zumbo, Gadermann & Zeisser 2007); `table.attrs["of"]` says
          so.
        - `se`: add columns `.se`, `.ci.lower` and `.ci.upper` to each, standard errors by the delta method.
        - `ci`: "wald" (estimate +- z se), or with `obs_var=False` also "profile", the likelihood-ratio limits, and "bootstrap",
          percentiles of `n` draws of clusters from `key`.

        **Returns:** a table by factor; {group: table} for groups. Warns of reversed items, and of other items at the other level.

        **Raises:** ModelError for a model without factors, and where random slopes leave no saturated model (`obs_var=True`).
        """
        return report.reliability_tables(self.estimation, obs_var, se, level, ci, n, key)

    def rotation(self) -> pd.DataFrame:
        """How the factors of each efa() block were rotated: the criterion and its value, from how many of the starts the lowest
        minimum was found, and `minima`, the values of all minima found.

        Raises ModelError for a model without such a block.
        """
        return report.rotation_table(self.estimation)

    # -- intervals
    @checked(parameters=names("a parameter"), level=CONFIDENCE, progress=PROGRESS)
    def profile_ci(
        self,
        parameters: str | Sequence[str] | None = None,
        level: float = 0.95,
        progress: bool | Callable[[int, int], None] = False,
    ) -> pd.DataFrame:
        """Profile-likelihood intervals of parameters and `:=` quantities, by name or label (default: all): `est`, `se`,
        `ci.lower`, `ci.upper`.

        They hold the values that a likelihood-ratio test at 1 - level does not reject, so they follow skewness, which estimates
        +- z se do not: variances between few clusters. A limit that does not exist is infinite, one that was not found NaN, each
        with a warning. progress: show a line, or call `progress(done, total)`.

        Raises ModelError for unknown names, without a maximum, and under bounds, inequalities or nonlinear constraints.
        """
        return report.profile_table(
            self._profiled(parameters, level, report.bar if progress is True else (progress or None))
        )

    def _profiled(
        self, names: Sequence[str] | None, level: float, progress: Callable[[int, int], None] | None
    ) -> inference.Profile:
        found = inference.profile(self.estimation, names, [level], progress)
        notes = list(found.notes)
        if self.estimation.options.se.startswith("robust"):
            notes.append(
                "Profile intervals rest on the normal likelihood; the robust standard errors of this fit have no part in them."
            )
        for note in notes:
            warnings.warn(note, ModelWarning, stacklevel=4)
        return found

    # -- what could be freed
    @checked(
        sort=FLAG,
        minimum_value=number(),
        maximum_number=optional(whole(1)),
        information=choice("expected", "observed"),
    )
    def modification_indices(
        self,
        sort: bool = True,
        minimum_value: float = 0.0,
        maximum_number: int | None = None,
        op: str | Sequence[str] | None = None,
        information: inference.IndexInformation = "expected",
    ) -> pd.DataFrame:
        """Expected drop in chi-square (mi) and change of the parameter (epc) if one fixed or absent parameter were freed.

        Shared labels and other equalities of the model stay in force; `score_test()` is about releasing them. Parameters that could
        not be estimated beside the others are left out. Expected information counts every row as complete, as in lavaan: with
        missing values information="observed" gives larger indices, closer to the chi-square difference.
        """
        op = None if op is None else check("op", op, words(*OPERATORS))
        found = inference.modification_indices(self.estimation, information=information)
        return report.modification_table(found, sort, minimum_value, maximum_number, op)

    modindices = modification_indices

    @checked(release=Rule("numbers of equalities, from 1", _equalities), add=names("text in model syntax"))
    def score_test(self, release: Any = None, add: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Score tests of releasing equality constraints: all together (first row), then each alone while the others stay.

        release: which equalities, counted from 1 in the order of the table that `score_test()` gives. add: in place of that,
        parameters to be freed or added, in model syntax: "f =~ y4; y1 ~~ y2", with two levels under their `level:`; all
        together, then each alone.
        """
        if add is not None:
            if release is not None:
                raise ModelError("score_test() takes release= or add=, one at a time.")
            rows = read_added("\n".join(add), self.estimation.model.build.specification)
            return report.added_table(inference.score_test_of_adding(self.estimation, rows))
        return report.score_table(inference.score_test(self.estimation, release))

    # -- scores
    @checked(
        se=FLAG,
        convention=choice("lavaan", "exact"),
        method=choice("regression", "Bartlett"),
        append_data=FLAG,
        type=choice("scores", "probabilities"),
        given=choice("covariates", "answers"),
    )
    def predict(
        self,
        level: Any = 1,
        se: bool = False,
        newdata: Any = None,
        convention: inference.ScoreConvention = "lavaan",
        method: inference.ScoreMethod = "regression",
        append_data: bool = False,
        type: Literal["scores", "probabilities"] = "scores",
        given: inference.Given = "covariates",
    ) -> pd.DataFrame:
        """Factor scores (posterior means of the latent variables): rows of the data at level 1, clusters at level 2. A model of one
        level has those of rows. Or, `type="probabilities"`, the probability of every category of the ordered variables.

        **Arguments:**

        - `se`: add a column `<name>.se` for each latent variable: posterior standard deviations at the estimates.
        - `newdata`: a table with the model's columns (clusters and groups included) to score in place of the fit's own;
          rows with missing values are scored from what they have. `predict(table)` means `predict(newdata=table)`. Where the
          column of level-1 weights is there, rows count by it; where not, all alike.
        - `convention`: "lavaan", or "exact" posterior means; they differ by a constant where within covariates have means
          other than zero.
        - `append_data`: the variables of the model, clusters and groups in front of the scores, row by row (level 1).
        - `method`: "regression", the posterior means; in a model of one level also "Bartlett", scores without shrinkage.
        - `type`: "scores", or "probabilities": one row for each row of the data, and a column `u=1` for category 1 of variable u.
        - `given`: of probabilities, "covariates": over the distribution of the latent variables, which is what shares of answers
          estimate; or "answers": at the posterior means of the latent variables (estimator="ML").

        With sampling weights of rows in a two-level model a cluster's rows count by their weights, as in the pseudo-likelihood: the
        pseudo-EBLUP (You & Rao 2002; theirs is that of `sampling_weights_scaling="effective"`). Weights of clusters have no part.
        """
        if newdata is None and hasattr(level, "columns"):
            level, newdata = 1, level
        level = check("level", level, LEVEL)
        data = self.estimation.data if newdata is None else self._prepared(newdata)
        if append_data and level == 2:
            raise ModelError(
                "append_data=True is of scores of rows: leave it out with level=2, and join scores to your table by cluster."
            )
        if type == "probabilities":
            found = report.probabilities_table(inference.category_probabilities(self.estimation, given, data), data)
        else:
            scores = inference.predict(self.estimation, level, data, convention, method)
            found = report.scores_table(scores, data, level, se)
        return report.beside_data(found, data) if append_data else found

    def _prepared(self, newdata: Any) -> TwoLevelData:
        """New rows as arrays, groups numbered as in the fit; rows with missing values are scored from what they have."""
        mine, specification = self.estimation.data, self.estimation.model.build.specification
        present = group_labels(newdata, mine.group_name) if mine.group_labels else ()
        if unknown := [label for label in present if label not in mine.group_labels]:
            raise DataError(
                f"{mine.group_name!r} has groups that the model was not fitted to: {listing(unknown)}. The fit has "
                f"{listing(mine.group_labels)}."
            )
        own = own_roles(specification)
        data = prepare(
            newdata,
            cluster=None if specification.single else mine.cluster_name,
            group=mine.group_name if mine.group_labels else None,
            within=specification.within.observed,
            between=specification.between.observed,
            own=tuple(own[mine.group_labels.index(label)] for label in present) if own else (),
            missing="ml",
            group_label=present or None,
            scoring=True,
            single=specification.single,
            survey=self._weights_of(newdata),
            ordered=read_known(newdata, mine.ordered),
        )
        if not present:
            return data
        number = np.array([mine.group_labels.index(label) for label in present])
        absent = specification.absent if own else None
        return replace(data, group=number[data.group], group_labels=mine.group_labels, absent=absent)

    def _weights_of(self, newdata: Any) -> SurveyColumns | None:
        """The column of level-1 weights of a two-level model, where new rows have it."""
        mine, single = self.estimation.data.survey, self.estimation.model.build.specification.single
        if mine is None or single or not mine.columns.sampling_weights:
            return None
        columns = mine.columns
        if columns.sampling_weights not in column_names(newdata):
            return None
        return SurveyColumns(columns.sampling_weights, sampling_weights_scaling=columns.sampling_weights_scaling)

    def scores(self) -> pd.DataFrame:
        """Derivatives of every cluster's log-likelihood in the free parameters: one row a cluster, columns as in `coef()`.

        In a model of one level without clusters every row of the data has its own.

        They sum to zero but along constraints that hold with equality only at the estimates.
        """
        return report.cluster_scores_table(self.estimation, inference.scores(self.estimation.model, self.estimation))

    def loglik_by_cluster(self) -> pd.Series:
        """Log-likelihood of every cluster given the fixed covariates, by cluster id; they sum to `loglik`. In a model of one level
        without clusters that of every row.
        """
        return report.cluster_series(self.estimation, inference.loglik_by_cluster(self.estimation), "loglik")
