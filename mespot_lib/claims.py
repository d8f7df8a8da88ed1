"""What the papers print, and whether it can be true.

`reports/paper_claims.csv` holds every figure of every result table of five papers, and what their abstracts and texts
repeat of them. The audit recomputes what can be recomputed. Nothing is compared with results of this project: each
finding is a contradiction between printed figures of the papers themselves.

A printed figure is not a number but a range: 0.39 stands for 0.385 to 0.395. Every rule computes with the two ends, in
exact fractions, and speaks up only if the range of the printed figure and the range that follows from the other
figures have no number in common. So rounding alone can never cause a finding. Counts are exact, save the means among
them, whose condition says so.

The condition of a claim is a list of `name=value`; two claims of one paper with the same dataset, method, expression,
metric and condition are the same quantity, wherever they stand.
"""

import csv
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mespot_lib.places import repository_root

if TYPE_CHECKING:
    import pandas as pd

COUNTS = frozenset({"total", "tp", "fp", "fn", "find", "prediction", "clips", "me_clips", "correct"})
RATES = frozenset({"f1", "precision", "recall", "accuracy", "best_f1", "gain_f1"})
METRICS = COUNTS | RATES | {"loss"}
EXPRESSIONS = ("MaE", "ME", "overall")
PROSE = frozenset({"abstract", "caption", "text"})

# True intervals as the five papers state them (and the datasets' authors before them).
TRUE_INTERVALS = {
    ("casme2", "MaE"): 300,
    ("casme2", "ME"): 57,
    ("samm_lv", "MaE"): 343,
    ("samm_lv", "ME"): 159,
}

# A dataset that is the union of others: its counts are their sums, so its rates lie between theirs.
SUBSETS = {
    "megc2022": ("megc2022_samm", "megc2022_cas"),
    "megc2023": ("megc2023_samm", "megc2023_cas"),
}


class ClaimsError(ValueError):
    """The file of claims cannot be read; the message names the file and the row."""


@dataclass(frozen=True)
class Claim:
    """One printed figure.

    Attributes
    ----------
    paper, table: where it is printed; `table` is one of `PROSE` for a figure outside the tables.
    dataset, method, expression, metric, condition: what it is a figure of.
    value: the figure as printed, so that its digits tell how it was rounded.
    where: row and column, or the section of the text.
    note: what the reader of the paper should know besides.
    """

    paper: str
    table: str
    dataset: str
    method: str
    expression: str
    metric: str
    condition: str
    value: str
    where: str
    note: str = ""

    @property
    def place(self) -> str:
        return f"{self.table}, {self.where}"

    @property
    def settings(self) -> dict[str, str]:
        """Return the `name=value` of the condition."""
        return dict(part.split("=", 1) for part in self.condition.split() if "=" in part)


@dataclass(frozen=True)
class Finding:
    """One contradiction.

    Attributes
    ----------
    paper, place: where the figure stands that cannot be true if the others are.
    rule: name of the rule that it breaks.
    printed: the figure, as printed.
    follows: what follows from the other figures: a number, a range, or their own words.
    tolerance: the largest difference that rounding of all printed figures concerned can explain.
    sentence: the same for a reader.
    """

    paper: str
    place: str
    rule: str
    printed: str
    follows: str
    tolerance: float
    sentence: str


COLUMNS = tuple(field.name for field in fields(Claim))

Row = Mapping[str, Claim]  # metric -> claim, for one method under one condition in one table


class Range(NamedTuple):
    """The numbers from `low` to `high`, both included."""

    low: Fraction
    high: Fraction

    def meets(self, other: "Range") -> bool:
        return self.low <= other.high and other.low <= self.high

    @property
    def half(self) -> Fraction:
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        low, high = (f"{float(end):.6g}" for end in self)
        return low if low == high else f"{low} to {high}"


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def claims_file() -> Path:
    """Return the file of the claims; it belongs to the source, so it stays when reports go elsewhere."""
    return repository_root() / "reports" / "paper_claims.csv"


def read_claims(path: Path | None = None) -> list[Claim]:
    """Read and check the claims.

    Raises
    ------
    ClaimsError
        If columns are missing or surplus, a cell is empty, a value is no number of its metric's kind, a metric or
        expression is unknown, or a figure is listed twice. The message names the file and the row.
    """
    path = path or claims_file()
    claims: dict[tuple[str, ...], int] = {}
    found = []
    for line, cells in _records(path):
        claim = _claim(cells, f"{path.name}, row {line}")
        key = (*_quantity(claim), claim.paper, claim.table, claim.where)
        if key in claims:
            raise ClaimsError(f"{path.name}, row {line}: the same figure as row {claims[key]}")
        claims[key] = line
        found.append(claim)
    if not found:
        raise ClaimsError(f"{path.name}: no claims in it")
    return found


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        try:
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise ClaimsError(f"{path.name}, row 1: the columns must be {','.join(COLUMNS)}")
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except (UnicodeDecodeError, csv.Error) as error:
            raise ClaimsError(f"{path.name}, after row {reader.line_num}: {error}") from None


def _claim(cells: Sequence[str], where: str) -> Claim:
    if len(cells) != len(COLUMNS):
        raise ClaimsError(f"{where}: {len(cells)} cells instead of {len(COLUMNS)}")
    claim = Claim(*(cell.strip() for cell in cells))
    for name in COLUMNS[:-1]:
        if not getattr(claim, name):
            raise ClaimsError(f"{where}: {name} is empty")
    if claim.expression not in EXPRESSIONS:
        raise ClaimsError(
            f"{where}: expression {claim.expression!r} is unknown; known: {', '.join(EXPRESSIONS)}"
        )
    if claim.metric not in METRICS:
        raise ClaimsError(f"{where}: metric {claim.metric!r} is unknown; known: {', '.join(sorted(METRICS))}")
    if not re.fullmatch(r"\d+" if claim.metric in COUNTS else r"\d+(\.\d+)?%?", claim.value, re.ASCII):
        kind = "a whole number" if claim.metric in COUNTS else "a number"
        raise ClaimsError(f"{where}: value {claim.value!r} of {claim.metric} is not {kind}")
    settings = claim.settings
    if not re.fullmatch(r"\d+(\.\d+)?", settings.get("T_eval", "0"), re.ASCII):
        raise ClaimsError(f"{where}: T_eval of the condition {claim.condition!r} is not a number")
    if claim.metric in ("best_f1", "gain_f1") and "over" not in settings:
        raise ClaimsError(f"{where}: the condition of {claim.metric} must name its table, as over=Table_1")
    if claim.metric in RATES and bounds(claim).low > 1:
        raise ClaimsError(f"{where}: value {claim.value!r} of {claim.metric} is above 1")
    return claim


def bounds(claim: Claim) -> Range:
    """Return the numbers that are printed as this claim's value: half a unit of the last digit to both sides."""
    digits = claim.value.rstrip("%")
    unit = Fraction(1, 10 ** len(digits.partition(".")[2]))
    if claim.metric in COUNTS and "average" not in claim.condition:
        unit = Fraction(0)
    scale = Fraction(1, 100) if claim.value.endswith("%") else Fraction(1)
    return Range((Fraction(digits) - unit / 2) * scale, (Fraction(digits) + unit / 2) * scale)


def _quantity(claim: Claim) -> tuple[str, ...]:
    return claim.dataset, claim.method, claim.expression, claim.metric, claim.condition


# ---------------------------------------------------------------------------------------------------------------------
# Rules on one row of a table


def f1_of(precision: Fraction, recall: Fraction) -> Fraction:
    """Return the harmonic mean, 0 if both are 0."""
    both = precision + recall
    return 2 * precision * recall / both if both > 0 else Fraction(0)


def f1_from_rates(row: Row) -> list[Finding]:
    """F1 is the harmonic mean of precision and recall, which grows with each of them.

    A row that prints its counts is left to `rates_from_counts`, which is exact and tells which figure is wrong.
    """
    if not {"f1", "precision", "recall"} <= row.keys() or (_true_intervals(row) and _spotted(row)):
        return []
    precision, recall = bounds(row["precision"]), bounds(row["recall"])
    follows = Range(
        *(f1_of(max(p, Fraction(0)), max(r, Fraction(0))) for p, r in zip(precision, recall, strict=True))
    )
    because = f"precision {row['precision'].value} and recall {row['recall'].value} give"
    return _compare(row["f1"], follows, "F1 from precision and recall", because)


def rates_from_counts(row: Row) -> list[Finding]:
    """Precision, recall and F1 follow from the counts.

    Where true intervals found (`find`, a) are told from spotted intervals that hit one (`tp`, b), as by MESNet, recall
    is a/m of m true ones, precision b/n of n spotted ones, F1 = 2ab / (an + bm). Else a = b.
    """
    if "tp" not in row:
        return []
    hits, found = int(row["tp"].value), int(row.get("find", row["tp"]).value)
    true, spotted = _true_intervals(row), _spotted(row)
    rates = {}
    if true:
        rates["recall"] = Fraction(found, true), f"{found} of {true} true intervals found give"
    if spotted:
        rates["precision"] = Fraction(hits, spotted), f"{hits} of {spotted} spotted intervals that hit give"
    if true and spotted:
        because = f"{found} found of {true} true intervals and {hits} hits of {spotted} spotted give"
        rates["f1"] = f1_of(rates["precision"][0], rates["recall"][0]), because
    findings = []
    for metric, (value, because) in rates.items():
        if metric in row:
            findings += _compare(
                row[metric], Range(value, value), f"{metric.replace('f1', 'F1')} from counts", because
            )
    return findings


def accuracy_from_counts(row: Row) -> list[Finding]:
    """Accuracy is the share of the clips that are classified rightly."""
    if not {"accuracy", "correct", "clips"} <= row.keys() or not (clips := int(row["clips"].value)):
        return []
    follows = Range(*(end / clips for end in bounds(row["correct"])))
    because = f"{row['correct'].value} right of {clips} clips give"
    return _compare(row["accuracy"], follows, "accuracy from counts", because)


def counts_add_up(row: Row) -> list[Finding]:
    """True intervals are those found (TP) and those missed (FN)."""
    if not {"total", "tp", "fn"} <= row.keys():
        return []
    true = Fraction(int(row["tp"].value) + int(row["fn"].value))
    because = f"TP {row['tp'].value} and FN {row['fn'].value} give"
    return _compare(row["total"], Range(true, true), "TP and FN add up", because)


def whole_recall(row: Row) -> list[Finding]:
    """Recall is a whole number of true intervals over all true intervals (stated by the papers, `TRUE_INTERVALS`)."""
    true = _true_intervals(row)
    if "recall" not in row or not true or {"tp", "find"} & row.keys():
        return []
    nearest = Fraction(round(Fraction(row["recall"].value) * true), true)
    because = f"no whole number of the {true} true intervals gives it; the nearest gives"
    return _compare(row["recall"], Range(nearest, nearest), "recall of whole intervals", because)


def _true_intervals(row: Row) -> int | None:
    """Return the true intervals as the row prints them, else as the papers state them."""
    if "total" in row:
        return int(row["total"].value)
    if {"tp", "fn"} <= row.keys():
        return int(row["tp"].value) + int(row["fn"].value)
    claim = next(iter(row.values()))
    if claim.expression != "overall":
        return TRUE_INTERVALS.get((claim.dataset, claim.expression))
    mae, me = (TRUE_INTERVALS.get((claim.dataset, part)) for part in ("MaE", "ME"))
    return mae + me if mae and me else None


def _spotted(row: Row) -> int | None:
    """Return the spotted intervals of a row that prints its hits."""
    if "tp" not in row or not {"prediction", "fp"} & row.keys():
        return None
    return (
        int(row["prediction"].value) if "prediction" in row else int(row["tp"].value) + int(row["fp"].value)
    )


def f1_from_found(row: Row, predictions: Iterable[int]) -> list[Finding]:
    """MESNet's F1 where a table leaves out the hits, the spotted intervals, or both.

    `predictions` are the numbers of spotted intervals that the paper prints for the same setting; the row is possible
    if one of them, with a whole number of hits, gives its F1.
    """
    true = _true_intervals(row)
    if not {"f1", "find"} <= row.keys() or not true or {"tp", "prediction"} <= row.keys():
        return []
    found = int(row["find"].value)
    spotted = [int(row["prediction"].value)] if "prediction" in row else sorted(predictions)
    hits = int(row["tp"].value) if "tp" in row else None
    possible = [_f1_nearest(bounds(row["f1"]), found, true, n, hits) for n in spotted]
    if not possible or any(bounds(row["f1"]).meets(Range(f1, f1)) for f1 in possible):
        return []
    nearest = min(possible, key=lambda f1: abs(f1 - Fraction(row["f1"].value)))
    numbers = f"{found} found of {true} true intervals, {' or '.join(map(str, spotted))} spotted"
    because = f"{numbers} and {'any number' if hits is None else hits} of those hitting give at the nearest"
    return _compare(row["f1"], Range(nearest, nearest), "F1 from found intervals", because)


def _f1_nearest(printed: Range, found: int, true: int, spotted: int, hits: int | None) -> Fraction:
    """Return the F1 nearest to the printed one over the possible hits: `found` to `spotted`, or the one given."""

    def f1(b: int) -> Fraction:
        return Fraction(2 * found * b, found * spotted + b * true) if found and b else Fraction(0)

    if hits is not None:
        return f1(hits)
    # f1(b) reaches the printed low end at b = low a n / (2a - low m); it grows with b.
    slope = 2 * found - printed.low * true
    reached = math.ceil(printed.low * found * spotted / slope) if slope > 0 else spotted
    candidates = {min(max(b, found), max(spotted, found)) for b in (reached - 1, reached)}
    middle = (printed.low + printed.high) / 2
    return min(map(f1, candidates), key=lambda value: abs(value - middle))


# ---------------------------------------------------------------------------------------------------------------------
# Rules between rows


def pooled_between(whole: Row, parts: Sequence[Row], names: str) -> list[Finding]:
    """Precision, recall and F1 of pooled counts lie between those of the parts.

    Each is a ratio of counts, and a ratio of sums lies between the ratios.
    """
    findings = []
    for metric in ("precision", "recall", "f1"):
        if metric not in whole or not all(metric in part for part in parts):
            continue
        ranges = [bounds(part[metric]) for part in parts]
        follows = Range(min(one.low for one in ranges), max(one.high for one in ranges))
        values = " and ".join(part[metric].value for part in parts)
        because = f"{names} are {values}, and pooled counts give"
        slack = max(one.half for one in ranges)
        findings += _compare(whole[metric], follows, "pooled value between its parts", because, slack)
    return findings


def pooled_recall(whole: Row, mae: Row, me: Row) -> list[Finding]:
    """Recall over both types is the mean of the two recalls, weighted with the true intervals of each."""
    weights = [true for part in (mae, me) if (true := _true_intervals(part))]
    if not all("recall" in row for row in (whole, mae, me)) or len(weights) < 2 or "tp" in whole:
        return []
    ends = zip(bounds(mae["recall"]), bounds(me["recall"]), strict=True)
    follows = Range(*((a * weights[0] + b * weights[1]) / sum(weights) for a, b in ends))
    shares = [f"{part['recall'].value} of {true}" for part, true in zip((mae, me), weights, strict=True)]
    because = f"recall {shares[0]} MaE and {shares[1]} ME give together"
    return _compare(whole["recall"], follows, "pooled recall from its parts", because)


def pooled_counts(whole: Row, mae: Row, me: Row) -> list[Finding]:
    """Counts over both types are sums."""
    findings = []
    for metric in sorted(COUNTS & whole.keys() & mae.keys() & me.keys()):
        total = Fraction(int(mae[metric].value) + int(me[metric].value))
        because = f"MaE {mae[metric].value} and ME {me[metric].value} give"
        findings += _compare(whole[metric], Range(total, total), "pooled counts add up", because)
    return findings


def stricter_is_lower(claims: Sequence[Claim]) -> list[Finding]:
    """The same spotted intervals cannot score higher under a higher T_eval.

    `claims` are figures of one metric in one table that differ in T_eval alone.
    """
    ordered = sorted(claims, key=lambda claim: float(claim.settings["T_eval"]))
    findings = []
    for loose, strict in itertools.pairwise(ordered):
        follows = Range(Fraction(0), bounds(loose).high)
        because = f"{loose.value} at the lower T_eval {loose.settings['T_eval']} allows"
        slack = bounds(loose).half
        findings += _compare(strict, follows, "no higher score under a higher T_eval", because, slack)
    return findings


def tables_agree(claims: Sequence[Claim]) -> list[Finding]:
    """A quantity that two tables of a paper print has one value. `claims` are all claims of that quantity."""
    tables = [claim for claim in claims if claim.table not in PROSE]
    other = [claim for claim in tables if not _alike(claim, tables[0])]
    if not other:
        return []
    same = [claim for claim in tables if claim not in other]
    follows = f"{same[0].value} in {_tables(same)}"
    return [
        _differs(
            other[0], f"{_tables(other)}, {other[0].where}", "table against table", follows, bounds(same[0])
        )
    ]


def prose_agrees(claims: Sequence[Claim]) -> list[Finding]:
    """What the abstract or the text repeats is what a table prints. `claims` are all claims of that quantity."""
    tables = [claim for claim in claims if claim.table not in PROSE]
    findings = []
    for claim in claims:
        if claim.table in PROSE and tables and not any(_alike(claim, one) for one in tables):
            follows = f"{tables[0].value} in {_tables(tables)}"
            findings.append(_differs(claim, claim.place, "text against table", follows, bounds(tables[0])))
    return findings


def quote_agrees(claim: Claim, originals: Sequence[Claim]) -> list[Finding]:
    """What one paper quotes of another's method is among what that paper prints.

    `originals` are figures of the same quantity, under the same or a more precisely stated condition.
    """
    if not originals or any(_alike(claim, one) for one in originals):
        return []
    values = " or ".join(f"{one.value} ({one.table})" for one in originals)
    follows = f"{values} in {originals[0].paper}"
    return [_differs(claim, claim.place, "quoted value against its source", follows, bounds(originals[0]))]


def best_is_best(claim: Claim, table: Sequence[Claim]) -> list[Finding]:
    """What the text calls the highest F1 is the highest of the table. `table` holds the F1 of that method there."""
    follows = Range(*(max(ends) for ends in zip(*map(bounds, table), strict=True)))
    return _compare(claim, follows, "highest F1 of a table", "the highest F1 of the table is")


def gain_over_best(claim: Claim, own: Claim, others: Sequence[Claim]) -> list[Finding]:
    """A gain over the best other method is the difference of two printed F1."""
    best = max(others, key=lambda one: bounds(one).low)
    low, high = (bounds(own).low - bounds(best).high, bounds(own).high - bounds(best).low)
    because = f"F1 {own.value} is above the best other one, {best.value} of {best.method}, by"
    return _compare(claim, Range(low, high), "gain over the best other method", because)


# ---------------------------------------------------------------------------------------------------------------------
# Findings


def _compare(
    claim: Claim,
    follows: Range,
    rule: str,
    because: str,
    slack: Fraction | None = None,
) -> list[Finding]:
    """Return a finding if the claim and what follows have no number in common.

    `slack` is the share of rounding in what follows, where that range is wide for another reason too.
    """
    printed = bounds(claim)
    if printed.meets(follows):
        return []
    tolerance = printed.half + (follows.half if slack is None else slack)
    sentence = f"{_name(claim)} is printed as {claim.value}, but {because} {follows}."
    # Rounding to one digit more first moves a number by at most a tenth of the last digit's half.
    twice = printed.half / 10
    if Range(printed.low - twice, printed.high + twice).meets(follows):
        sentence += " Rounding twice would explain it."
    return [Finding(claim.paper, claim.place, rule, claim.value, str(follows), float(tolerance), sentence)]


def _differs(claim: Claim, place: str, rule: str, follows: str, other: Range) -> Finding:
    """Return the finding that a repeated figure differs; equally fine prints of one number leave no tolerance."""
    printed = bounds(claim)
    tolerance = Fraction(0) if printed.half == other.half else printed.half + other.half
    what = f"{_name(claim)} ({claim.method}, {claim.dataset}, {claim.condition})"
    sentence = f"{what} is printed as {claim.value}, but as {follows}."
    return Finding(claim.paper, place, rule, claim.value, follows, float(tolerance), sentence)


def _name(claim: Claim) -> str:
    return f"{claim.metric.replace('f1', 'F1').replace('_', ' ')} of {claim.expression}"


def _alike(one: Claim, other: Claim) -> bool:
    """Tell whether two prints can be of one number: equal if equally fine, else the finer one rounded."""
    a, b = bounds(one), bounds(other)
    return a == b if a.half == b.half else a.meets(b)


def _tables(claims: Iterable[Claim]) -> str:
    return ", ".join(dict.fromkeys(claim.table for claim in claims))


# ---------------------------------------------------------------------------------------------------------------------
# The audit

ROW_RULES: tuple[Callable[[Row], list[Finding]], ...] = (
    f1_from_rates,
    rates_from_counts,
    accuracy_from_counts,
    counts_add_up,
    whole_recall,
)


def audit(claims: Sequence[Claim]) -> list[Finding]:
    """Apply every rule to everything it can be applied to; return the contradictions, paper by paper."""
    rows = _rows(claims)
    findings = [
        *(finding for row in rows.values() for rule in ROW_RULES for finding in rule(row)),
        *_audit_found(rows),
        *_audit_pooled(rows),
        *_audit_thresholds(claims),
        *_audit_repeated(claims),
        *_audit_quoted(claims),
        *_audit_boasts(claims, rows),
    ]
    return sorted(findings, key=lambda finding: finding.paper)  # stable: the order of the rules stays


def _rows(claims: Iterable[Claim]) -> dict[tuple[str, ...], dict[str, Claim]]:
    """Return the figures by paper, table (or sentence), dataset, method, condition and expression."""
    rows: dict[tuple[str, ...], dict[str, Claim]] = defaultdict(dict)
    for claim in claims:
        table = claim.place if claim.table in PROSE else claim.table
        rows[claim.paper, table, claim.dataset, claim.method, claim.condition, claim.expression][
            claim.metric
        ] = claim
    return rows


def _audit_found(rows: Mapping[tuple[str, ...], Row]) -> list[Finding]:
    # How many intervals are spotted does not depend on T_eval, so a table that varies T_eval need not print it.
    spotted = defaultdict(set)
    for (paper, _, dataset, method, condition, expression), row in rows.items():
        if "prediction" in row:
            setting = (paper, dataset, method, expression, _without_t_eval(condition))
            spotted[setting].add(int(row["prediction"].value))
    findings = []
    for (paper, _, dataset, method, condition, expression), row in rows.items():
        setting = (paper, dataset, method, expression, _without_t_eval(condition))
        findings += f1_from_found(row, spotted.get(setting, ()))
    return findings


def _audit_pooled(rows: Mapping[tuple[str, ...], Row]) -> list[Finding]:
    findings = []
    for (*place, expression), whole in rows.items():
        parts = [rows[key] for part in ("MaE", "ME") if (key := (*place, part)) in rows]
        if expression == "overall" and len(parts) == 2:
            findings += pooled_between(whole, parts, "MaE and ME")
            findings += pooled_recall(whole, *parts)
            findings += pooled_counts(whole, *parts)
        paper, table, dataset, *rest = place
        names = SUBSETS.get(dataset, ())
        keys = [(paper, table, name, *rest, expression) for name in names]
        if names and all(key in rows for key in keys):
            findings += pooled_between(whole, [rows[key] for key in keys], " and ".join(names))
    return findings


def _audit_thresholds(claims: Iterable[Claim]) -> list[Finding]:
    alike = defaultdict(list)
    for claim in claims:
        if claim.table not in PROSE and "T_eval" in claim.settings and claim.metric in COUNTS | RATES:
            *what, condition = _quantity(claim)
            alike[claim.paper, claim.table, *what, _without_t_eval(condition)].append(claim)
    return [finding for group in alike.values() for finding in stricter_is_lower(group)]


def _audit_repeated(claims: Iterable[Claim]) -> list[Finding]:
    same = defaultdict(list)
    for claim in claims:
        same[claim.paper, *_quantity(claim)].append(claim)
    return [finding for group in same.values() for finding in tables_agree(group) + prose_agrees(group)]


def _audit_quoted(claims: Iterable[Claim]) -> list[Finding]:
    """Compare each figure of the tables with those of the paper that printed the method first."""
    methods = defaultdict(list)
    for claim in claims:
        methods[claim.dataset, claim.method, claim.expression, claim.metric].append(claim)
    findings = []
    for group in methods.values():
        source = min((claim.paper for claim in group), key=lambda paper: (_year(paper), paper))
        for claim in group:
            stated = claim.settings.items()
            originals = [one for one in group if one.paper == source and stated <= one.settings.items()]
            if claim.paper != source and claim.table not in PROSE:
                findings += quote_agrees(claim, originals)
    return findings


def _audit_boasts(claims: Iterable[Claim], rows: Mapping[tuple[str, ...], Row]) -> list[Finding]:
    findings = []
    for claim in claims:
        if claim.metric not in ("best_f1", "gain_f1"):
            continue
        table = claim.settings["over"].replace("_", " ")
        f1 = [
            row["f1"]
            for (paper, name, dataset, _, _, expression), row in rows.items()
            if (paper, name, dataset, expression) == (claim.paper, table, claim.dataset, claim.expression)
            and "f1" in row
        ]
        own = [one for one in f1 if one.method == claim.method]
        others = [one for one in f1 if one.method != claim.method]
        if claim.metric == "best_f1" and own:
            findings += best_is_best(claim, own)
        elif claim.metric == "gain_f1" and own and others:
            findings += gain_over_best(claim, own[0], others)
    return findings


def _without_t_eval(condition: str) -> str:
    return " ".join(part for part in condition.split() if not part.startswith("T_eval="))


def _year(paper: str) -> int:
    """Return the year in a paper's name; 0 if it has none."""
    return int((re.search(r"\d{4}", paper) or ["0"])[0])


# ---------------------------------------------------------------------------------------------------------------------
# Showing


def findings_text(findings: Sequence[Finding], claims: int) -> str:
    """Return the findings for the terminal: paper, place, sentence, rule and tolerance."""
    lines = [f"{claims} printed figures, {len(findings)} contradictions"]
    for paper, group in itertools.groupby(findings, key=lambda finding: finding.paper):
        lines += ["", paper]
        for finding in group:
            lines += [f"  {finding.place}", f"    {finding.sentence}"]
            lines += [f"    ({finding.rule}; rounding explains a difference of {finding.tolerance:.2g})"]
    return "\n".join(lines)


def findings_records(findings: Iterable[Finding]) -> list[dict[str, str | float]]:
    """Return the findings as plain records, for JSON."""
    return [asdict(finding) for finding in findings]


def findings_table(findings: Sequence[Finding] | None = None) -> "pd.DataFrame":
    """Return the findings as a table for a notebook, one row each; by default those of the project's claims."""
    import pandas as pd

    findings = audit(read_claims()) if findings is None else findings
    return pd.DataFrame(findings_records(findings), columns=[field.name for field in fields(Finding)])
