"""Methods beside each other on the same subjects, and beside what the papers claim.

Two methods are compared on the subjects that both have done, of the same videos and with the same truth, counted by the
same rules; so a method with some folds missing is never measured against others on subjects it has not seen. An oracle
is compared with oracles only, drawn data with drawn data.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from mespot_lib.claims import Claim, read_claims
from mespot_lib.metrics import PARTS, Counts, paired_bootstrap
from mespot_lib.ranks import Ranking
from mespot_lib.report import NOT_KNOWN, Pooled, line_label, shown

SYNTHETIC = "synthetic_"

# What must agree for F1 of two lines to be comparable at all.
_RULES = ("synthetic", "evaluation", "t_eval", "fold_rule", "selection")


def rules_of(one: Pooled) -> tuple[Any, ...]:
    """Return by which rules a line was counted, and whether its data was drawn."""
    return tuple(one.record[name] for name in _RULES)


def common_subjects(first: Pooled, second: Pooled) -> list[str]:
    """Return the subjects that both have done: of the same videos, with the same true intervals."""
    here, there = first.truth_by_subject, second.truth_by_subject
    return sorted(subject for subject in here if subject in there and here[subject] == there[subject])


# ---------------------------------------------------------------------------------------------------------------------
# Differences


def differences(pooled: Iterable[Pooled]) -> list[dict[str, Any]]:
    """Return one row per dataset, kind and pair of methods: F1 of both on their common subjects, and the lead.

    `difference` is F1 of `first` less that of `second`; `ci_low`, `ci_high` its 95 % interval and `positive` the share
    of draws above zero, drawing the subjects again (`metrics.paired_bootstrap`). The better of the two stands first.
    """
    pairs = [
        pair
        for pair in itertools.combinations(pooled, 2)
        if pair[0].record["dataset"] == pair[1].record["dataset"] and rules_of(pair[0]) == rules_of(pair[1])
    ]
    rows = [row for part in PARTS for pair in pairs if (row := _difference(*pair, part))]
    return sorted(rows, key=lambda row: row["dataset"])  # stable: the order of kinds and pairs stays


def _difference(first: Pooled, second: Pooled, part: str) -> dict[str, Any] | None:
    subjects = common_subjects(first, second)
    if not subjects or part not in first.parts or part not in second.parts:
        return None
    sides = [{name: one.subjects[name][part] for name in subjects} for one in (first, second)]
    f1 = [sum(side.values(), Counts()).f1 for side in sides]
    if f1[1] > f1[0]:
        first, second, sides, f1 = second, first, sides[::-1], f1[::-1]
    lead = paired_bootstrap(sides[0], sides[1])
    sure = len(subjects) > 1  # of one subject there is nothing to draw again
    return {
        "dataset": first.record["dataset"],
        "kind": part,
        "first": first.label,
        "second": second.label,
        "subjects": len(subjects),
        "of_subjects": len({*first.subjects, *second.subjects}),
        "n_folds": first.n_folds,
        "f1_first": f1[0],
        "f1_second": f1[1],
        "difference": lead.f1,
        "ci_low": lead.low if sure else None,
        "ci_high": lead.high if sure else None,
        "positive": lead.positive if sure else None,
    }


# ---------------------------------------------------------------------------------------------------------------------
# Ranks


def rankings(pooled: Iterable[Pooled], part: str = "overall") -> list[Ranking]:
    """Rank methods on the subjects of all datasets that all of them have done; one ranking for each set of rules.

    As many methods as possible take part: those with every fold of a dataset, and of all further datasets where every
    one of them is complete. A block is a subject with a true interval of the kind; who has none tells nothing. What was
    left out is named with the reason.
    """
    families: dict[tuple[Any, ...], list[Pooled]] = {}
    for one in pooled:
        families.setdefault(rules_of(one), []).append(one)
    found = [_ranking(family, part) for family in families.values()]
    return [one for one in found if one]


def _ranking(family: Sequence[Pooled], part: str) -> Ranking | None:
    table: dict[str, dict[str, Pooled]] = {}  # dataset -> label -> line
    for one in family:
        table.setdefault(one.record["dataset"], {})[one.label] = one
    complete = {
        dataset: {label for label, one in lines.items() if one.complete and part in one.parts}
        for dataset, lines in table.items()
    }
    choices = [
        (len(names), sum(len(_blocks(table[d], names, part)) for d in datasets), names, datasets)
        for names in complete.values()
        for datasets in [[d for d in sorted(complete) if names <= complete[d]]]
        if len(names) > 1
    ]
    if not any(blocks for _, blocks, *_ in choices):
        return None
    _, _, chosen, datasets = max(choices, key=lambda choice: (choice[1] > 0, *choice[:2]))
    names = sorted(chosen)
    blocks = [(dataset, subject) for dataset in datasets for subject in _blocks(table[dataset], chosen, part)]
    scores = [[table[d][name].subjects[subject][part].f1 for name in names] for d, subject in blocks]
    out = _left_out(family, chosen, datasets, part)
    named = [f"{dataset}/{subject}" for dataset, subject in blocks]
    return Ranking(names, named, np.array(scores), out, _rules_text(family[0]))


def _rules_text(one: Pooled) -> str:
    data = "synthetic data" if one.record["synthetic"] else "people"
    oracle = ", oracle" if one.record["selection"] == "oracle" else ""
    return f"{data}{oracle}, evaluation {one.record['evaluation']}, IoU at least {one.record['t_eval']:g}"


def _blocks(lines: Mapping[str, Pooled], names: Iterable[str], part: str) -> list[str]:
    """Return the subjects of a dataset that all named methods have done, and who have a true interval of the kind."""
    first, *others = (lines[name] for name in sorted(names))
    shared = set(first.subjects).intersection(*(common_subjects(first, other) for other in others))
    return sorted(s for s in shared if first.subjects[s][part].tp + first.subjects[s][part].fn)


def _left_out(
    family: Sequence[Pooled], chosen: Iterable[str], datasets: Sequence[str], part: str
) -> list[str]:
    lines = []
    for one in family:
        dataset = one.record["dataset"]
        if part not in one.parts:
            why = f"looks for {' and '.join(one.parts)} alone"
        elif not one.complete:
            why = f"{len(one.results)} of {one.n_folds} folds"
        elif one.label not in chosen:
            why = "not complete wherever the others are"
        elif dataset not in datasets:
            why = "not all of the others are complete there"
        else:
            continue
        lines.append(f"{one.label} on {dataset}: {why}")
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# Claims


@dataclass(frozen=True)
class Headline:
    """Where a paper prints the result of a method at its best, and what to know when reading it."""

    paper: str
    method: str
    table: str
    note: str = ""


HEADLINES = {
    "zhang2020": Headline("he2023-i3d-bifpn", "zhang2020", "Table III", "as a later paper quotes it"),
    "flow_peaks": Headline(
        "he2023-i3d-bifpn",
        "he2021",
        "Table III",
        "the first method of its family, as a later paper quotes it",
    ),
    "yap2022_3dcnn": Headline("yap2022-3dcnn", "yap2022_3dcnn", "Table 2"),
    "mesnet": Headline(
        "wang2021-mesnet", "mesnet_crn", "Table X", "its best thresholds, counted as in profile mesnet"
    ),
    "stsnet_sw": Headline(
        "fu2023-stsnet_sw", "stsnet_sw", "Table 2", "its public code never scores intervals"
    ),
    "i3d_bifpn": Headline("he2023-i3d-bifpn", "i3d_bifpn", "Table III"),
}


def beside_claims(
    rows: Iterable[Mapping[str, Any]], claims: Sequence[Claim] | None = None
) -> list[dict[str, Any]]:
    """Return one row per row of `report.rows` that a paper prints a figure for: ours, theirs, and what sets them apart.

    A drawn dataset stands beside the recorded one whose layout it has; these are different videos, so there is no
    `difference` (None). Of several figures of a table that fit, the highest is taken.
    """
    claims = read_claims() if claims is None else claims
    found = []
    for row in rows:
        claim = _claim_for(row, claims)
        if claim is None or row["f1"] is None:
            continue
        names = ("dataset", "method", "profile", "kind", "folds", "n_folds", "f1", "ci_low", "ci_high")
        ours = {name: row[name] for name in (*names, "synthetic")} | {"label": line_label(row)}
        theirs = float(claim.value)
        found.append(
            ours
            | {"claimed_on": claim.dataset, "claimed": theirs, "printed": claim.value}
            | {"difference": None if row["synthetic"] else row["f1"] - theirs}
            | {
                "paper": claim.paper,
                "table": claim.table,
                "place": claim.where,
                "note": HEADLINES[row["method"]].note,
            }
        )
    return found


def _claim_for(row: Mapping[str, Any], claims: Iterable[Claim]) -> Claim | None:
    headline = HEADLINES.get(row["method"])
    if headline is None:
        return None
    wanted = (headline.paper, headline.table, headline.method, recorded(row["dataset"]), row["kind"], "f1")
    fitting = [
        claim
        for claim in claims
        if (claim.paper, claim.table, claim.method, claim.dataset, claim.expression, claim.metric) == wanted
        and float(claim.settings.get("T_eval", row["t_eval"])) == row["t_eval"]
    ]
    return max(fitting, key=lambda claim: float(claim.value), default=None)


def claims_table(beside: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows of `beside_claims` as a table to look at: one line per method and dataset, ours, theirs, difference.

    A difference that makes no sense, and what is not printed, is "n/a".
    """
    kinds = ("MaE", "ME", "overall")
    lines: dict[tuple[str, ...], dict[tuple[str, str], str]] = {}
    for row in beside:
        line = lines.setdefault((row["label"], row["dataset"], row["claimed_on"]), {})
        line["ours", row["kind"]] = shown(row["f1"])
        line["published", row["kind"]] = row["printed"]
        line["difference", row["kind"]] = shown(row["difference"], "+.3f")
    columns = pd.MultiIndex.from_product([("ours", "published", "difference"), kinds])
    cells = [[line.get(column, NOT_KNOWN) for column in columns] for line in lines.values()]
    index = pd.MultiIndex.from_tuples(lines, names=["method", "ours on", "published on"]) if lines else None
    return pd.DataFrame(cells, columns=columns, index=index)


def recorded(dataset: str) -> str:
    """Return the name of the recorded dataset whose layout a drawn one has; of a recorded one its own."""
    return dataset.removeprefix(SYNTHETIC)


def ranking_record(one: Ranking) -> dict[str, Any]:
    """Return a ranking as a plain record, for JSON."""
    chi2, p = one.friedman
    pairs = [
        asdict(pair) | {"first": one.names[pair.first], "second": one.names[pair.second]}
        for pair in one.pairs
    ]
    return {
        "methods": list(one.names),
        "subjects": list(one.blocks),
        "average_rank": one.average.tolist(),
        "friedman_chi2": chi2,
        "friedman_p": p,
        "alpha": one.alpha,
        "critical_difference": one.distance,
        "groups": [[one.names[i] for i in group] for group in one.groups],
        "pairs": pairs,
        "left_out": list(one.left_out),
        "rules": one.rules,
    }
