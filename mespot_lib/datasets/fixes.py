"""Named fix policies: what is done about known faults of the annotation, and nothing is done silently.

Published results differ in how their authors repaired the same workbooks, and the usual half-window k and every F1
depend on it. A policy is the whole list of such decisions under one name:

| policy            | offset missing | apex missing | MaE that begin at | beyond the video | as in                  |
|-------------------|----------------|--------------|-------------------|------------------|------------------------|
| raw               | keep           | keep         | keep              | keep             | the workbook           |
| official_baseline | apex           | midpoint     | keep              | keep             | MEGC2020/21 baseline   |
| softnet           | apex           | null         | 0: exclude        | keep             | SOFTNet, MTSN, MEAN    |
| slswin            | apex           | null         | 1: exclude        | keep             | SL-Swin                |
| lgsnet            | apex + 20      | null         | keep              | exclude          | LGSNet                 |
| strict            | apex           | null         | 0 or 1: exclude   | clamp            | this project           |

"Missing" is 0, -1 or an empty cell; an empty apex stays empty without remark, and an offset stays missing where there
is no apex to take (SMIC-E, part C of CAS(ME)^3). The column "MaE that begin at" concerns SAMM-LV, where
macro-expressions that began before the recording carry onset 0 (workbooks V1, V2) or 1 (V3). The limits of lgsnet on
the length are its own for each dataset. In datasets whose frame numbers do not begin at 1, an onset of 0 or 1 is one
before the first frame.

Every repair is a token `field + fault + what was done` in the column `fixes` (`offset0->apex`, `apex_outside:kept`);
a row that cannot be used keeps its place and says why in `excluded`. In every policy a row is excluded that has no
onset, has no offset, ends before it begins, or lies outside its video altogether; and, except under `raw`, one that
repeats an earlier row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from mespot_lib.datasets.workbook import CELLS
from mespot_lib.manifest import DatasetError, ranges_from_text

EARLY_ONSET_LAYOUT = "samm_lv"
_LARGEST_FRAME_NO = 10**9


@dataclass(frozen=True)
class FixPolicy:
    """One named set of decisions; see the table of the module.

    offset_missing, apex_missing : what replaces them.
    early_onsets : MaE of `EARLY_ONSET_LAYOUT` with one of these onsets are excluded.
    beyond : what happens to events that leave the video. text : what a text does where a frame number belongs.
    longest : layout -> kind -> frames; longer events are excluded. skip : expression ids that are excluded.
    raise_offset : an offset that does not come after the apex counts as missing.
    keep_repeated : rows that repeat an earlier one stay in use.
    samm_release : SAMM-LV workbook the policy was published with, taken if present.
    """

    name: str
    offset_missing: Literal["keep", "apex", "apex+20"]
    apex_missing: Literal["keep", "mid", "null"]
    early_onsets: tuple[int, ...] = ()
    beyond: Literal["keep", "clamp", "exclude"] = "keep"
    text: Literal["error", "exclude"] = "error"
    longest: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    raise_offset: bool = False
    keep_repeated: bool = False
    samm_release: str | None = None


POLICIES = {
    policy.name: policy
    for policy in (
        FixPolicy("raw", "keep", "keep", text="exclude", keep_repeated=True),
        FixPolicy("official_baseline", "apex", "mid"),
        FixPolicy("softnet", "apex", "null", early_onsets=(0,), samm_release="V2"),
        FixPolicy("slswin", "apex", "null", early_onsets=(1,), samm_release="V3"),
        FixPolicy(
            "lgsnet",
            "apex+20",
            "null",
            beyond="exclude",
            longest={"samm_lv": {"ME": 800, "MaE": 800}, "casme3_a": {"ME": 15, "MaE": 120}},
            skip=("020_6_5", "036_7_4", "012_4_1"),  # named in its label reader
            raise_offset=True,
        ),
        FixPolicy("strict", "apex", "null", early_onsets=(0, 1), beyond="clamp", text="exclude"),
    )
}


def get_policy(name: str) -> FixPolicy:
    """Return a policy by its name; raise `DatasetError` for an unknown one."""
    if name not in POLICIES:
        raise DatasetError(f"fix policy {name!r} is unknown; it must be one of {', '.join(POLICIES)}")
    return POLICIES[name]


def fix_event(
    event: Mapping[str, Any], video: Mapping[str, Any] | None, policy: FixPolicy, *, layout: str
) -> dict[str, Any]:
    """Return `onset, apex, offset, fixes, excluded` of one annotated row.

    Parameters
    ----------
    event : a row of the events table with its raw cells, `type` and `provenance`.
    video : its row of the videos table, None if it has no media (its range cannot be checked then).
    layout : name of the layout; some decisions of a policy concern one alone.

    Raises
    ------
    DatasetError
        For text where a frame number belongs, unless the policy excludes such rows.
    """
    fixes: list[str] = []
    try:
        onset, apex, offset = (_frame_number(event, name, fixes) for name in ("onset", "apex", "offset"))
    except DatasetError as error:
        if policy.text == "error":
            raise
        return {"excluded": f"text_cell: {error}"}
    offset = _fix_offset(apex, offset, policy, fixes)
    apex = _fix_apex(onset, apex, offset, policy, fixes)
    excluded = _reason_to_exclude(event, onset, offset, policy, layout)
    if not excluded:
        assert onset is not None  # else there is a reason to exclude
        assert offset is not None
        if video is not None:
            onset, apex, offset, excluded = _fix_range(onset, apex, offset, video, policy, fixes)
        outside = apex is not None and not onset <= apex <= offset
        if outside and not excluded and not any(token.startswith("apex") for token in fixes):
            apex = None if policy.name == "strict" else apex
            fixes.append("apex_outside->null" if apex is None else "apex_outside:kept")
    return {"onset": onset, "apex": apex, "offset": offset, "fixes": ";".join(fixes), "excluded": excluded}


def exclude_repeated(events: list[dict[str, Any]], policy: FixPolicy) -> None:
    """Mark, in place, the rows that repeat an earlier one (same video, type, onset, offset)."""
    seen: dict[tuple, str] = {}
    for event in events:
        if event.get("excluded"):
            continue
        key = tuple(event[name] for name in ("video_uid", "type", "onset", "offset"))
        if key not in seen:
            seen[key] = event["provenance"]
        elif policy.keep_repeated:
            event["fixes"] = ";".join(filter(None, (event["fixes"], "row_repeated:kept")))
        else:
            event["excluded"] = f"repeats {seen[key]}"


def _frame_number(event: Mapping[str, Any], name: str, fixes: list[str]) -> int | None:
    text = event[f"{name}_raw"]
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) <= _LARGEST_FRAME_NO:
        raise DatasetError(f"{event['provenance']}: {name} must be a frame number, found {text!r}")
    if not value.is_integer():
        fixes.append(f"{name}_float->round")
    elif event["cell_kinds"][CELLS.index(f"{name}_raw")] == "t":
        fixes.append(f"{name}_text->number")
    return int(value + 0.5) if value > 0 else int(value)


def _given(value: int | None) -> TypeGuard[int]:
    return value not in (None, 0, -1)


def _fault(name: str, value: int | None) -> str:
    return f"{name}_empty" if value is None else f"{name}{value}"


def _fix_offset(apex: int | None, offset: int | None, policy: FixPolicy, fixes: list[str]) -> int | None:
    late = policy.raise_offset and _given(apex) and offset is not None and offset <= apex
    if _given(offset) and not late:
        return offset
    fault = "offset_not_after_apex" if _given(offset) else _fault("offset", offset)
    if policy.offset_missing == "keep" or not _given(apex):
        fixes.append(f"{fault}:kept")
        return offset
    fixes.append(f"{fault}->{policy.offset_missing}")
    return apex + 20 if policy.offset_missing == "apex+20" else apex


def _fix_apex(
    onset: int | None, apex: int | None, offset: int | None, policy: FixPolicy, fixes: list[str]
) -> int | None:
    if apex is None or _given(apex):
        return apex
    if policy.apex_missing == "mid" and onset is not None and _given(offset):
        fixes.append(f"apex{apex}->mid")
        # the baseline keeps the half frame and rounds it when it is used
        return int((onset + offset) / 2 + 0.5)
    done = "null" if policy.apex_missing == "mid" else policy.apex_missing
    fixes.append(f"apex{apex}:kept" if done == "keep" else f"apex{apex}->{done}")
    return apex if done == "keep" else None


def _reason_to_exclude(
    event: Mapping[str, Any], onset: int | None, offset: int | None, policy: FixPolicy, layout: str
) -> str:
    if onset is None or onset < 0:
        return "no_onset"
    if not _given(offset):
        return "no_offset"
    if offset < onset:
        return "offset_before_onset"
    if layout == EARLY_ONSET_LAYOUT and event["type"] == "MaE" and onset in policy.early_onsets:
        return f"began_before_recording (onset {onset})"
    if event["expr_id_raw"] in policy.skip:
        return f"on the skip list of {policy.name}"
    longest = policy.longest.get(layout, {}).get(event["type"])
    if longest is not None and offset - onset > longest:
        return f"longer than {longest} frames"
    return ""


def _fix_range(
    onset: int, apex: int | None, offset: int, video: Mapping[str, Any], policy: FixPolicy, fixes: list[str]
) -> tuple[int, int | None, int, str]:
    first, last = video["first_frame_no"], video["last_frame_no"]
    clamp = policy.beyond == "clamp"
    if onset > last or offset < first:
        return onset, apex, offset, f"outside the video ({first}..{last})"
    if onset < first:
        fixes.append("onset_before_first->clamp" if clamp else "onset_before_first:kept")
        onset = first if clamp else onset
    if offset > last:
        if policy.beyond == "exclude":
            return onset, apex, offset, f"offset_past_end (last frame {last})"
        fixes.append("offset_past_end->clamp" if clamp else "offset_past_end:kept")
        offset = last if clamp else offset
        apex = min(apex, last) if clamp and apex is not None else apex
    for a, b in ranges_from_text(video["missing_frames"] or ""):
        fixes += [
            f"{name}_in_gap:kept" for name, no in (("onset", onset), ("offset", offset)) if a <= no <= b
        ]
    return onset, apex, offset, ""
