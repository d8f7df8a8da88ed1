"""Average ranks, critical differences and signed-rank tests, against hand-made and published cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from mespot_lib import ranks as module
from mespot_lib.ranks import (
    RankError,
    Ranking,
    critical_difference,
    friedman,
    groups,
    holm,
    ranks,
    signed_rank_pairs,
    smallest_p,
)

# The ranks of four classifiers on 14 data sets in table 6 of Demsar (2006).
DEMSAR = np.array(
    [
        *(
            [4, 3, 2, 1],
            [1, 2, 3, 4],
            [4, 1, 2, 3],
            [4, 1, 3, 2],
            [4, 2, 3, 1],
            [1, 2.5, 4, 2.5],
            [3, 2, 4, 1],
        ),
        *(
            [2.5, 2.5, 4, 1],
            [4, 3, 2, 1],
            [2.5] * 4,
            [4, 2.5, 1, 2.5],
            [3, 2, 4, 1],
            [4, 1, 2, 3],
            [3, 1, 4, 2],
        ),
    ]
)
SCORES = arrays.arrays(
    float, st.tuples(st.integers(1, 12), st.integers(2, 6)), elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1])
)


def test_equals_share_their_ranks():
    assert ranks(np.array([[0.2, 0.9, 0.2], [0, 0, 0]])).tolist() == [[2.5, 1, 2.5], [2, 2, 2]]


def test_the_published_example_of_demsar():
    """Average ranks, chi2 = 9.28 (the paper leaves ties uncorrected), CD 1.25 at 5 % and 1.12 at 10 %."""
    example = Ranking(["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"], [str(i) for i in range(14)], -DEMSAR)
    assert np.array_equal(example.ranks, DEMSAR)
    assert example.average == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    sizes = [np.unique(row, return_counts=True)[1] for row in DEMSAR]
    tied = sum(int((n**3 - n).sum()) for n in sizes)
    chi2, p = example.friedman
    assert chi2 * (1 - tied / (14 * 4 * 15)) == pytest.approx(9.28, abs=5e-3)
    assert p < 0.05
    assert example.distance == pytest.approx(1.25, abs=5e-3)
    assert critical_difference(4, 14, 0.1) == pytest.approx(1.12, abs=5e-3)
    # "the difference between C4.5+m+cf and C4.5 is 1.18, below CD" at 5 %: no two are apart
    assert example.groups == [[3, 1, 2, 0]]


@pytest.mark.parametrize(
    ("alpha", "published"),
    [
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_the_published_critical_values_of_nemenyi(alpha, published):
    """Table 5a of Demsar (2006): q for 2 to 10 methods."""
    for k, q in enumerate(published, start=2):
        assert critical_difference(k, 1, alpha) / np.sqrt(k * (k + 1) / 6) == pytest.approx(q, abs=1.5e-3)


@given(SCORES)
def test_friedman_is_scipys_where_that_has_an_answer(scores):
    chi2, p = friedman(ranks(scores))
    if scores.shape[1] > 2 and (scores != scores[:, :1]).any():
        known = stats.friedmanchisquare(*scores.T)
        assert (chi2, p) == pytest.approx((known.statistic, known.pvalue))
    assert 0 <= p <= 1


def test_friedman_of_two_methods_is_a_sign_test_and_of_ties_says_nothing():
    wins = np.array([[1.0, 0.0]] * 8 + [[0.0, 1.0]] * 2)
    assert friedman(ranks(wins))[0] == pytest.approx((8 - 2) ** 2 / 10)
    assert friedman(ranks(np.ones((5, 3)))) == (0.0, 1.0)


@given(SCORES)
def test_ranks_add_up_and_follow_the_methods(scores):
    found = ranks(scores)
    k = scores.shape[1]
    assert np.allclose(found.sum(axis=1), k * (k + 1) / 2)
    order = np.random.default_rng(0).permutation(k)
    assert np.array_equal(ranks(scores[:, order]), found[:, order])
    assert np.array_equal(ranks(scores / 2 + 0.1), found)


def test_groups_are_the_longest_runs_below_the_distance():
    average = np.array([3.9, 1.0, 1.8, 2.6])
    assert groups(average, 1.0) == [[1, 2], [2, 3]]
    assert groups(average, 1.7) == [[1, 2, 3], [3, 0]]
    assert groups(average, 0.5) == []
    assert groups(average, 9.0) == [[1, 2, 3, 0]]
    assert groups(np.array([1.0, 2.0]), 1.0) == []  # exactly so far apart is apart
    assert groups(np.array([1.5, 1.5]), 1.0) == [[0, 1]]


@given(SCORES)
def test_two_methods_share_a_group_exactly_if_they_are_less_than_the_distance_apart(scores):
    one = Ranking([str(i) for i in range(scores.shape[1])], ["s"] * len(scores), scores)
    for i in range(scores.shape[1]):
        for j in range(i):
            near = abs(one.average[i] - one.average[j]) < one.distance - 1e-9
            assert near == any(i in group and j in group for group in one.groups)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 40])
def test_signed_ranks_without_ties_are_scipys(n):
    difference = np.random.default_rng(n).normal(0.3, 1, n)
    (pair,) = signed_rank_pairs(np.column_stack([difference, np.zeros(n)]))
    assert pair.p == pytest.approx(stats.wilcoxon(difference, method="exact").pvalue)


@pytest.mark.parametrize(
    ("leads", "p"),
    [
        ([0.1, 0.1, -0.2, 0.0], 1.0),  # the ranks 1.5 and 1.5 against 3; an equal pair does not count
        ([0.1, 0.1, 0.2], 2 / 8),  # + + + and - - - of eight ways to deal signs
        ([0.3, 0.1, -0.2], 2 * 3 / 8),  # 2 on the lesser side: sums 0, 1, 2 are three of eight
        ([0.0, 0.0], 1.0),
    ],
)
def test_signed_ranks_by_hand(leads, p):
    assert signed_rank_pairs(np.column_stack([leads, np.zeros(len(leads))]))[0].p == pytest.approx(p)


def test_leads_that_differ_in_their_last_bits_are_equal():
    assert 0.3 - 0.2 != 0.2 - 0.1
    assert signed_rank_pairs(np.array([[0.3, 0.2], [0.1, 0.2]]))[0].p == 1.0


@given(SCORES)
def test_no_p_is_below_what_the_number_of_subjects_allows(scores):
    pairs = signed_rank_pairs(scores)
    assert len(pairs) == scores.shape[1] * (scores.shape[1] - 1) // 2
    for pair in pairs:
        assert smallest_p(len(scores)) <= pair.p <= pair.p_holm <= 1
    assert min(pair.p_holm for pair in pairs) >= smallest_p(len(scores), len(pairs)) - 1e-12


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def test_six_subjects_and_ten_pairs_can_find_nothing():
    assert smallest_p(6) == pytest.approx(0.03125)
    assert smallest_p(6, 10) > 0.05 > smallest_p(12, 10)


@pytest.mark.parametrize(
    "wrong",
    [np.ones((3, 1)), np.ones((0, 3)), np.ones(3), np.array([[0.1, np.nan]])],
    ids=["one method", "no subject", "one row", "missing"],
)
def test_scores_that_cannot_be_ranked_are_refused(wrong):
    with pytest.raises(RankError):
        ranks(wrong)


def test_wrong_sizes_are_refused():
    with pytest.raises(RankError, match="2 subjects and 2 methods"):
        Ranking(["a", "b"], ["s1", "s2"], np.ones((3, 2)))
    for k, n, alpha in ((1, 5, 0.05), (3, 0, 0.05), (3, 5, 0.0)):
        with pytest.raises(RankError, match="no critical difference"):
            critical_difference(k, n, alpha)


def test_the_examples_of_the_module():
    import doctest

    assert doctest.testmod(module).failed == 0


def test_of_methods_that_do_not_differ_few_are_told_apart():
    """At a level of 5 %, some pair is apart in about 5 of 100 comparisons of five equal methods."""
    rng = np.random.default_rng(0)
    average = np.stack([ranks(rng.random((20, 5))).mean(axis=0) for _ in range(1000)])
    assert 0.03 < (np.ptp(average, axis=1) >= critical_difference(5, 20)).mean() < 0.06
    found = [min(pair.p_holm for pair in signed_rank_pairs(rng.random((12, 3)))) for _ in range(300)]
    assert 0.02 < (np.array(found) < 0.05).mean() < 0.07


def test_a_method_that_is_better_on_everybody_is_told_apart():
    scores = np.random.default_rng(0).random((12, 4)) * 0.2
    scores[:, 2] += 0.5
    one = Ranking([*"abcd"], [str(i) for i in range(12)], scores)
    assert one.order[0] == 2
    assert not any(2 in group for group in one.groups)
    assert all(pair.p_holm < 0.05 for pair in one.pairs if 2 in (pair.first, pair.second))
