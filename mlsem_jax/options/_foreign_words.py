"""Words of lavaan and Mplus for the values of options, and what to write here; lavaan's options that have no counterpart."""

from __future__ import annotations

_SCALED = (
    "Its estimates are those of 'ML'; 'MLR' has robust standard errors and a scaled test that also hold with clusters and "
    "missing values."
)
_CATEGORICAL = "For ordered variables use 'WLSMV' or 'ULSMV' (with ordered=); for continuous ones 'ML' or 'MLR'."
_TWO_STAGE = "Use 'ml', which takes the incomplete rows in one step and is more efficient."
_MIXTURE = "Use 'yuan.bentler.mplus' (estimator='MLR'); for ordered variables 'scaled.shifted'."
_STINE = "Fit first, then fit.bootstrap(1000, type='bollen.stine') has its p-value."
_SOLVER = "Leave it out: Fisher scoring finds the same maximum in fewer iterations."
_ROTATION = "Leave out rotation= ('geomin'), or give the rotated loadings as a target."

ELSEWHERE: dict[str, dict[str, str]] = {
    "estimator": {
        "FIML": "Write estimator='ML', missing='ml'.",
        **dict.fromkeys(("MLM", "MLMV", "MLMVS"), _SCALED),
        **dict.fromkeys(("GLS", "ULS", "ULSM", "ULSMVS", "WLSM", "WLSMVS", "DLS", "catML"), _CATEGORICAL),
        **dict.fromkeys(("PML", "MML", "umn"), "estimator='ML' with ordered= is full information."),
        **dict.fromkeys(("IV", "MIIV"), "Use 'ML' or 'MLR', or ml.sam(), which fits the measurement part first."),
        **dict.fromkeys(("JS", "JSA"), "Use 'ML', or ml.sam(), which fits the measurement part first."),
        "REML": "Use 'ML'.",
        "BAYES": "ml.log_likelihood is differentiable, for samplers such as those of blackjax.",
    },
    "se": {
        "boot": "Write 'bootstrap'.",
        "cluster": "Write cluster=, the name of the column, and estimator='MLR'.",
        "cluster.robust": "Write 'robust.cluster'.",
        "robust.mlr": "Write 'robust.huber.white'.",
        "robust.mlm": "Write 'robust' (estimator='MLR').",
        "robust.cluster.sem": "Write 'robust.cluster'.",
        "first.order": "Write information='first.order' (estimator='MLF').",
        **dict.fromkeys(("observed", "expected"), "Write information=, and se='standard'."),
        **dict.fromkeys(("two.stage", "robust.two.stage"), "They belong to missing='two.stage'; use missing='ml'."),
        "twostep": "Those of ml.sam() are of this kind.",
        "external": "Leave it out.",
        "naive": "Write 'standard'.",
    },
    "test": {
        **dict.fromkeys(("mean.var.adjusted", "satterthwaite", "browne.residual.nt", "browne.residual.adf"), _MIXTURE),
        **dict.fromkeys(("boot", "bootstrap", "bollen.stine"), _STINE),
    },
    "missing": {
        **dict.fromkeys(("ml.x", "fiml.x", "direct.x"), "Write missing='ml', fixed_x=False."),
        **dict.fromkeys(("two.stage", "robust.two.stage", "twostage"), _TWO_STAGE),
        **dict.fromkeys(
            ("available.cases", "doubly.robust"), "For ordered variables use 'pairwise', or estimator='ML'."
        ),
        **dict.fromkeys(("impute", "mice", "multiple.imputation"), "Give the imputed data sets in a list."),
        "na.omit": "Write 'listwise'.",
    },
    "bounds": {
        **dict.fromkeys(
            ("standard", "wide", "wide.zerovar", "user"),
            "lavaan's bounds loadings and covariances beside variances: 'pos.var' keeps variances at or above zero, and a "
            "dictionary sets limits of single parameters.",
        )
    },
    "start": {"mplus": "Leave it out, or write 'simple'.", "lavaan": "Leave it out."},
    "optim_method": dict.fromkeys(("nlminb", "nlminb.constr", "L-BFGS-B", "GN", "gn", "lbfgs", "slsqp"), _SOLVER),
    "rotation": {
        "quartimin": "Write rotation='oblimin' (its gamma is 0 unless rotation_args say otherwise).",
        "pst": "Write 'target'; NaN in the target is a cell that is not specified.",
        **dict.fromkeys(
            ("none", "promax", "quartimax", "equamax", "oblimax", "entropy", "infomax", "crawford-ferguson", "cf"),
            _ROTATION,
        ),
        **dict.fromkeys(("bigeomin", "bi-geomin", "biquartimin", "simplimax", "mccammon", "parsimax"), _ROTATION),
    },
}

# lavaan's options that have nothing to do in their place, without dots
_NAMES = """
autodelta autoefa autoth autocomposite aux categorical ceqsimple checkgradient checklvinteraction checklvnames checkpost
checkstart checkvcov cinsimple cl constraints control debug dofit emh1args emh1itermax emh1tol emh1warn estimatorargs
gammaclustermplus gammanminusone gammaunbiased gammavcovmplus groupwfree h1information h1informationmeat implied
informationexpectedmplus informationmeat loglik modeltype nacov ncpus observedinformation observedinformationmeat optimattempts
optimbounds optimdxtol optimforceconverged optimforcecrossprod optimgradient optiminitneldermead optimparscale optimpartrace
optimvartransform ovorder orthogonalx orthogonaly parallel parser rotationse samplecovrescale sampleicov samplemean samplestats
sampleth scaledtest ridge ridgeconstant slotcache slotdata slotmodel slotoptions slotpartable slotsamplestats storevcov wlsv
wlsvmethod warn zeroadd zerocellwarn zerokeepmargins baselineconditionalxfreeslopes baselinefixedxfreecov baselinetype
optimfixsaturated
"""
NO_COUNTERPART = frozenset(_NAMES.split())
