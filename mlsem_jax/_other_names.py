"""Names of R's packages, statsmodels and semopy, and what to type here: for attributes of fits and of the package that do not exist.

Spelling does not count: parameterEstimates, parameter.estimates and ParameterEstimates are one name.
"""

# ruff: noqa: E501 (a table: one answer a line)

from __future__ import annotations

from collections.abc import Iterable

from mlsem_jax._errors import nearest


def squashed(name: str) -> str:
    """A name without what spellings differ in."""
    return name.lower().replace(".", "").replace("_", "").replace("-", "")


def _table(**answers: str) -> dict[str, str]:
    """By every name of a key: `a__b` is a and b."""
    return {squashed(name): told for names, told in answers.items() for name in names.split("__")}


# what to type after the fit's name
OF_FITS = _table(
    params__estimates__param__coefficients__coefs__getcoef="coef()",
    theta__thetahat__x="coef() or inspect('theta')",  # all parameters, or lavaan's residual covariances
    bse__stderr__stderrs__standarderrors__stderror__ses='parameter_estimates()["se"]',
    tvalues__zvalues__zstat='parameter_estimates()["z"]',
    pvalues__pvals='parameter_estimates()["pvalue"]',
    confint__conf_int__ci='parameter_estimates()[["ci.lower", "ci.upper"]]',
    cov_params__normalized_cov_params__covparams__cov_re="vcov()",
    llf__logl__loglik_value__loglikelihood__log_likelihood__loglike="loglik",
    lavparameterestimates="parameter_estimates()",
    lavstandardizedsolution__std__stdall__standardized="standardized_solution()",
    lavinspect__lavtech__lavgetinfo="inspect(what)",
    partable__parametertable__lavpartable__partab="parameter_estimates()",
    runmodel__refit__rerun="update()",
    lavnames__varnames='inspect("ov.names")',
    lavoptions__options='inspect("options")',
    lavpredict__lavpredicty__factorscores__fscores__scores_factor__transform__ranef__plausiblevalues="predict()",
    fitted__fittedvalues__fitted_values__sigmahat__modelimplied="implied()",
    resid__residual__lavresid__lavresiduals__resid_pearson="residuals()",
    sampstat__samplestatistics__lavh1="h1()",
    anova__lavtestlrt__lrtest__comparefit__compare_lr_test__likelihoodratiotest="lrt(other)",
    lavtestwald__wald_test__waldtest__linearhypothesis="wald('a == b')",
    lavtestscore="score_test()",
    modificationindexes__mi__modind__lavmodindices="modification_indices()",
    fitindices__indices__gof__calcstats__fitstats__lavfitmeasures="fit_measures()",
    rsquared__r2="rsquare()",
    bootstraplavaan__bootlavaan__boot="bootstrap(1000, key=1)",
    simulatedata__sim="simulate(key)",
    comprelsem__omega__alpha__ave__cronbach__compositereliability__maximalrelia="reliability()",
    estfun__lavscores__score_obs__casescores="scores()",
    sempaths__lavaanplot__semplot__graph__draw__pathdiagram__plot_path='plot("path")',
    as_latex__to_latex__xtable="summary().to_latex()",
    to_html__as_html="summary().to_html()",
    to_markdown__kable="summary().to_markdown()",
    to_csv__write_csv="parameter_estimates().to_csv(path) or table().save('table.csv')",
    to_excel__to_xlsx="table().save('table.xlsx') or parameter_estimates().to_excel(path)",
    to_dataframe__to_frame__dataframe__to_pandas="parameter_estimates()",
    to_json__dump__to_pickle__write="save('fit.json')",
    lavexport__export="to_lavaan() or to_mplus()",
    df_resid__df_model__dof="fit_measures()['df']",
    nclusters_total__ngroups__n_groups='inspect("ngroups")',
    n__nrows__n_obs__ntotal="nobs",
    njobs__nparams__n_params__numparams__kparams="npar",
    mle_retvals__convergence__success__optim='inspect("optim")',
    niter__n_iter__iteration="iterations",
    summary2__print__printfit__info__report_text="summary()",
    objective__fx="loglik",
    score="inspect('gradient') or scores()",
    lavaan="to_lavaan()",
    profile__confint_profile__mxci="profile_ci()",
    cooks__cooksd__cooks_distance__get_influence__hat="influence()",
    broom__tidyr="tidy()",
    lavaanify__param_table="parameter_estimates()",
    show__display="summary()",
    predictfactors__predict_factors__getprediction__eap__blup="predict()",
    inspectmodel__inspect_model="inspect(what)",
    morefitindices__aicc__hqic__hqc__gammahat__ebic5="fit_measures()",
    getparameters__getpar="coef()",
    ntot__nsample="nobs",
    mipowerfit__epc__sepc="modification_indices()",
    ttest__t_test__ftest__f_test="wald('a == b')",
    getmodelimplied__get_model_implied__impliedcov__impliedmoments="implied()",
    loadings__factorloadings="inspect('lambda')",
    montecarloci__monte_carlo_ci="profile_ci() or bootstrap(1000, key=1)",
    net__nested="lrt(other)",
    gradient__jac__jacobian__score_vector="inspect('gradient')",
)
_MEASURES = (
    "chisq df pvalue cfi tli nnfi rfi nfi pnfi ifi rni rmsea srmr rmr gfi agfi mfi ecvi aic bic bic2 sabic caic "
    "fmin cn_05 cn_01 srmr_within srmr_between chi2 baseline.chisq ebic"
)
MEASURES = frozenset(map(squashed, _MEASURES.split()))
_SAME_MEASURE = {"chi2": "chisq", "sabic": "bic2", "nnfi": "tli"}

# functions of other packages, in a sentence
_FIT_FIRST = "fit = ml.sem(model, data, cluster=...), then fit."
OF_PACKAGE = _table(
    lavaansem__lavaan_sem__semmodel__twolevelsem="ml.sem(model, data, cluster=...) fits a model",
    lavaancfa__lavaan_cfa="ml.cfa(model, data, cluster=...) fits a model",
    model_fit__fit__estimate_model__lm__lmer__glm__mixedlm__runlavaan="ml.sem(model, data, cluster=...) fits a model",
    ggm__lvm__varcov__lnm__rnm__lrnm__precision__corr__network="networks are of two levels: ml.ml_ggm, ml.ml_lvm, ml.ml_varcov, ml.ml_lnm, ml.ml_rnm, ml.ml_lrnm, ml.ml_corr",
    var1__gvar__dlvm1__panelgvar__panellvgvar__tsdlvm1__ml_gvar__ml_var__ml_tsdlvm1__ml_ts_lvgvar="time series and panel models are not fitted here; psychonetrics fits them",
    ising__meta_ggm__meta_varcov__meta_lvm="these models are not fitted here; psychonetrics fits them",
    getmatrix__prune__stepup__modelsearch__parameters__mis__ciplot__setestimator="it is a method of fits of network models: fit = ml.ml_lvm(...).fit(), then fit.getmatrix(...), fit.prune(), fit.stepup(), fit.modelsearch(), fit.parameters(), fit.MIs(), fit.CIplot()",
    fixpar__freepar__groupequal__groupfree__transmod__runmodel="it is a method of network models and of their fits: ml.ml_lvm(...).fit(), .fixpar(), .freepar(), .groupequal(), .groupfree(), .transmod()",
    simulatedata__simulate_data__simsem__sim="ml.simulate(model, theta, key, cluster_sizes) draws data, and fit.simulate(key)",
    simdesign__monte_carlo__simulation__power__powersim__sspower__findrmseapower="ml.montecarlo(model, theta, cluster_sizes, n_datasets, key) is a simulation study",
    lavaanlist__semlist__cfalist="ml.sem(model, [data, ...]) fits and pools several data sets, ml.estimate_batch many at once",
    runmi__semmi__cfami__lavaanmi__lavaan_mi__sem_mi__cfa_mi__growthmi="ml.sem(model, [data, ...]) fits each imputation and pools them, and ml.pool([fit, ...])",
    measeqsyntax__measurementinvariance__longinvariance__measeq__permutemeaseq="ml.invariance(model, data, group=...) fits the steps and compares them",
    sirt__fa__factanal__efaunrotate__factoranalysis="ml.efa(data, nfactors, vars, cluster) is exploratory factor analysis",
    faparallel__fa_parallel__nfactors__scree="ml.parallel_analysis(data, vars, cluster)",
    twostage__twostage_sem="missing='ml' of ml.sem uses incomplete rows in one step",
    auxiliary__semauxiliary__cfaauxiliary="add the auxiliary variables to the model with their covariances, and missing='ml'",
    indprod__residualcovariate="write the product in the model, y ~ x:w",
    probe2waymc__plotprobe__probe3waymc="define the simple slopes with := in the model",
    montecarloci__medci="define the product with := and call fit.profile_ci(), or fit.bootstrap()",
    comparefit__compare_fits__anova__lrtest__lavtestlrt__net="ml.lrt(fit1, fit2) compares fits, ml.compare(a=fit1, b=fit2) of networks, and fit.table(other)",
    loadfit__read__read_fit__load_fit__readrds__open="ml.load(path) reads a saved fit",
    partable__parametertable__lavparametertable__lavaanify__lavpartable="fit.parameter_estimates() is the table; ml.read_partable(path) reads lavaan's",
    mplus2lavaan__readmodels__mplus="the model is to be written in lavaan's syntax; fit.to_mplus() goes the other way",
    getcov__cor2cov__lavcor__lavtables__vartable="pass the rows as data; fit.h1() has their unrestricted moments",
    mlr__maximumlikelihood="it is an option: ml.sem(..., estimator='MLR')",
    sempaths__lavaanplot__semplot__plot="fit.plot('path') draws the path diagram",
    dataset__load_schools__demotwolevel__demo_twolevel__schools="ml.datasets.load_schools() has data",
    optimizer__solver="it is an option: ml.sem(..., optim_method=...)",
    modelsyntax__model_syntax="models are text in lavaan's syntax; ml.model(text, data) is the model of the JAX layer",
    version="it is ml.__version__",
)  # fmt: skip
_METHODS = (
    "summary parameter_estimates standardized_solution fit_measures modification_indices modindices predict residuals "
    "inspect implied h1 icc rsquare reliability wald score_test bootstrap profile_ci influence coef vcov tidy glance "
    "table report save to_lavaan to_mplus rotation scores update fit_measures_by_level loglik converged"
)
_PROPERTIES = ("loglik", "converged")


def same_member(name: str, members: Iterable[str]) -> str:
    """The public member that a name differs from in spelling only, or ""."""
    wanted = squashed(name)
    alike = [known for known in members if not known.startswith("_") and squashed(known) == wanted]
    return min(alike, key=lambda known: known[:1].isupper(), default="")  # functions before classes


def of_fit(name: str, members: Iterable[str], words: Iterable[str] = ()) -> str:
    """What to type for an attribute that a fit does not have, as code after its name; "" where nothing is known.

    members: what the fit has. words: those that its inspect() knows.
    """
    if same := same_member(name, members):
        return same
    key = squashed(name)
    if key in OF_FITS:
        return OF_FITS[key]
    if key in MEASURES:
        return f"fit_measures()[{_SAME_MEASURE.get(key, name.lower())!r}]"
    return next((f"inspect({word!r})" for word in words if squashed(word) == key), "")


def of_package(name: str, members: Iterable[str]) -> str:
    """What to say to a name that the package does not have."""
    start = f"module 'mlsem_jax' has no attribute {name!r}"
    members = list(members)
    if same := same_member(name, members):
        return f"{start}: write ml.{same}."
    if squashed(name) in OF_PACKAGE:
        return f"{start}: {OF_PACKAGE[squashed(name)]}."
    if code := _method(name) or of_fit(name, ()):
        return f"{start}: it is asked of a fit, {_FIT_FIRST}{code}."
    return f"{start}.{nearest(name, members)}"


def _method(name: str) -> str:
    same = same_member(name, _METHODS.split())
    return same if not same or same in _PROPERTIES else f"{same}()"


def called(kind: type, code: str) -> str:
    """Code that names a method of a class alone, as its call."""
    return f"{code}()" if callable(getattr(kind, code, None)) else code
