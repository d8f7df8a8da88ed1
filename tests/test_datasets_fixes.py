"""Fix policies: what each does with each known fault, and that nothing is done silently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mespot_lib.datasets.fixes import POLICIES, exclude_repeated, fix_event, get_policy
from mespot_lib.datasets.workbook import encode_cells
from mespot_lib.manifest import DatasetError

VIDEO = {"first_frame_no": 1, "last_frame_no": 900, "missing_frames": "400-410"}


def fix(policy, onset, apex, offset, *, kind="MaE", expression="006_1_1", layout="samm_lv", video=VIDEO):
    """Return onset, apex, offset, fixes, excluded of one row."""
    cells = {"onset_raw": onset, "apex_raw": apex, "offset_raw": offset, "expr_id_raw": expression}
    event = {"type": kind, "provenance": "book.xlsx!sheet!7"} | encode_cells(cells)
    fixed = fix_event(event, video, get_policy(policy), layout=layout)
    return tuple(fixed.get(name) for name in ("onset", "apex", "offset", "fixes", "excluded"))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_sound_row_is_left_alone(policy):
    assert fix(policy, 20, 30, 60) == (20, 30, 60, "", "")


# one row per fault, one column per policy: the table of the module
CASES = {
    "offset 0": (
        (20, 30, 0),
        {
            "raw": (20, 30, 0, "offset0:kept", "no_offset"),
            "official_baseline": (20, 30, 30, "offset0->apex", ""),
            "softnet": (20, 30, 30, "offset0->apex", ""),
            "slswin": (20, 30, 30, "offset0->apex", ""),
            "lgsnet": (20, 30, 50, "offset0->apex+20", ""),
            "strict": (20, 30, 30, "offset0->apex", ""),
        },
    ),
    "apex 0": (
        (20, 0, 61),
        {
            "raw": (20, 0, 61, "apex0:kept", ""),
            "official_baseline": (20, 41, 61, "apex0->mid", ""),
            "softnet": (20, None, 61, "apex0->null", ""),
            "slswin": (20, None, 61, "apex0->null", ""),
            "lgsnet": (20, None, 61, "apex0->null", ""),
            "strict": (20, None, 61, "apex0->null", ""),
        },
    ),
    "onset 0": (
        (0, 30, 60),
        {
            "raw": (0, 30, 60, "onset_before_first:kept", ""),
            "official_baseline": (0, 30, 60, "onset_before_first:kept", ""),
            "softnet": (0, 30, 60, "", "began_before_recording (onset 0)"),
            "slswin": (0, 30, 60, "onset_before_first:kept", ""),
            "lgsnet": (0, 30, 60, "onset_before_first:kept", ""),
            "strict": (0, 30, 60, "", "began_before_recording (onset 0)"),
        },
    ),
    "onset 1": (
        (1, 30, 60),
        {
            "raw": (1, 30, 60, "", ""),
            "official_baseline": (1, 30, 60, "", ""),
            "softnet": (1, 30, 60, "", ""),
            "slswin": (1, 30, 60, "", "began_before_recording (onset 1)"),
            "lgsnet": (1, 30, 60, "", ""),
            "strict": (1, 30, 60, "", "began_before_recording (onset 1)"),
        },
    ),
    "beyond the end": (
        (880, 905, 950),
        {
            "raw": (880, 905, 950, "offset_past_end:kept", ""),
            "official_baseline": (880, 905, 950, "offset_past_end:kept", ""),
            "softnet": (880, 905, 950, "offset_past_end:kept", ""),
            "slswin": (880, 905, 950, "offset_past_end:kept", ""),
            "lgsnet": (880, 905, 950, "", "offset_past_end (last frame 900)"),
            "strict": (880, 900, 900, "offset_past_end->clamp", ""),
        },
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fault", CASES)
def test_what_each_policy_does_with_each_fault(fault, policy):
    numbers, expected = CASES[fault]
    assert fix(policy, *numbers) == expected[policy]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((60, 70, 20), "offset_before_onset"),
        ((None, 30, 60), "no_onset"),
        ((-1, 30, 60), "no_onset"),
        ((20, 0, 0), "no_offset"),
        ((20, None, None), "no_offset"),
        ((901, 905, 950), "outside the video (1..900)"),
    ],
)
def test_rows_that_are_no_interval_are_excluded_with_the_reason(policy, numbers, reason):
    if policy == "lgsnet" and reason == "offset_before_onset":
        assert fix(policy, *numbers)[2:] == (90, "offset_not_after_apex->apex+20", "")  # its own repair
    else:
        assert fix(policy, *numbers)[4] == reason


def test_early_onsets_concern_macro_expressions_of_the_layout_that_has_them():
    assert fix("slswin", 1, 5, 60, kind="ME")[4] == ""
    assert fix("slswin", 1, 5, 60, layout="casme2")[4] == ""


def test_lgsnet_skips_its_list_and_long_rows():
    assert fix("lgsnet", 20, 30, 60, expression="020_6_5")[4] == "on the skip list of lgsnet"
    assert fix("lgsnet", 20, 30, 821)[4] == "longer than 800 frames"
    assert fix("lgsnet", 20, 30, 820)[4] == ""


@pytest.mark.parametrize(
    ("kind", "length", "reason"),
    [
        ("ME", 15, ""),
        ("ME", 16, "longer than 15 frames"),
        ("MaE", 120, ""),
        ("MaE", 121, "longer than 120 frames"),
    ],
)
def test_lgsnet_has_limits_of_its_own_for_casme3(kind, length, reason):
    assert fix("lgsnet", 20, 25, 20 + length, kind=kind, layout="casme3_a")[4] == reason
    for policy in set(POLICIES) - {"lgsnet"}:
        assert fix(policy, 20, 25, 20 + length, kind=kind, layout="casme3_a")[4] == ""


@pytest.mark.parametrize("policy", POLICIES)
def test_without_an_apex_a_missing_offset_stays_missing(policy):
    assert fix(policy, 20, None, 0, layout="smic_e")[2:] == (0, "offset0:kept", "no_offset")


@pytest.mark.parametrize("policy", POLICIES)
def test_an_onset_of_0_is_before_the_first_frame_where_numbers_do_not_begin_at_1(policy):
    video = {"first_frame_no": 559_700, "last_frame_no": 560_290, "missing_frames": None}
    done, onset = ("clamp", 559_700) if policy == "strict" else (None, 0)
    token = f"onset_before_first->{done}" if done else "onset_before_first:kept"
    fixed = fix(policy, 0, None, 559_760, kind="ME", layout="smic_e", video=video)
    assert fixed == (onset, None, 559_760, token, "")


def test_minus_one_and_empty_are_missing_too():
    assert fix("official_baseline", 20, 30, -1)[2:] == (30, "offset-1->apex", "")
    assert fix("official_baseline", 20, 30, None)[2:] == (30, "offset_empty->apex", "")
    assert fix("official_baseline", 20, -1, 60)[1::2] == (40, "apex-1->mid")
    assert fix("official_baseline", 20, None, 60)[1::2] == (None, "")


def test_half_frames_are_rounded_up_and_listed():
    assert fix("official_baseline", 20.5, 30, 60) == (21, 30, 60, "onset_float->round", "")


def test_numbers_typed_as_text_are_read_and_listed():
    assert fix("official_baseline", "20", 30, 60) == (20, 30, 60, "onset_text->number", "")


@pytest.mark.parametrize("policy", ["official_baseline", "softnet", "slswin", "lgsnet"])
@pytest.mark.parametrize("value", ["about 30", "1e99", "nan", "12:30"])
def test_text_where_a_number_belongs_is_an_error_with_the_row(policy, value):
    with pytest.raises(
        DatasetError, match=rf"book.xlsx!sheet!7: onset must be a frame number, found '{value}'"
    ):
        fix(policy, value, 30, 60)


@pytest.mark.parametrize("policy", ["raw", "strict"])
def test_text_where_a_number_belongs_is_excluded_by_the_policies_that_list(policy):
    assert fix(policy, "about 30", 30, 60)[4].startswith("text_cell: book.xlsx!sheet!7: onset must be")


def test_an_apex_outside_is_kept_with_a_remark_or_dropped():
    assert fix("official_baseline", 20, 70, 60)[1::2] == (70, "apex_outside:kept")
    assert fix("strict", 20, 70, 60)[1::2] == (None, "apex_outside->null")


def test_ends_in_a_gap_are_remarked_on():
    assert fix("official_baseline", 390, 395, 405)[3] == "offset_in_gap:kept"


def test_without_media_the_range_is_not_checked():
    assert fix("strict", 20, 30, 5000, video=None) == (20, 30, 5000, "", "")


def test_repeated_rows_are_excluded_but_by_raw():
    def events():
        row = {"video_uid": "v", "type": "ME", "onset": 3, "offset": 9, "fixes": "", "excluded": ""}
        return [row | {"provenance": f"b!s!{number}"} for number in (1, 2)]

    strict, raw = events(), events()
    exclude_repeated(strict, get_policy("official_baseline"))
    exclude_repeated(raw, get_policy("raw"))
    assert [event["excluded"] for event in strict] == ["", "repeats b!s!1"]
    assert [(event["excluded"], event["fixes"]) for event in raw] == [("", ""), ("", "row_repeated:kept")]


def test_an_unknown_policy_lists_the_known_ones():
    with pytest.raises(DatasetError, match="'baseline' is unknown; it must be one of raw, official_baseline"):
        get_policy("baseline")


frame_cells = st.one_of(st.none(), st.integers(-2, 1000), st.floats(-2, 1000, allow_nan=False))


@given(st.sampled_from(sorted(POLICIES)), frame_cells, frame_cells, frame_cells, st.booleans())
def test_whatever_stands_in_the_row_it_is_an_interval_or_excluded(policy, onset, apex, offset, early):
    a, _, b, fixes, excluded = fix(policy, onset, apex, offset, layout="samm_lv" if early else "casme2")
    if not excluded:
        assert 0 <= a <= b
        changed = [name for name, raw, new in (("onset", onset, a), ("offset", offset, b)) if raw != new]
        assert all(name in fixes for name in changed)
