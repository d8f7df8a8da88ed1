"""The counting rules once more, as loops over intervals: slow, short, and written apart from the library."""

from mespot_lib.interval import KINDS, iou


def nms(spans, t_nms, across_kinds=False):
    """Go through the intervals from the strongest and keep what is not too close to a kept one."""
    kept = []
    for span in sorted(spans, key=lambda s: (-s.score, s)):
        rivals = [other for other in kept if across_kinds or other.kind == span.kind]
        if all(iou(span, other) <= t_nms for other in rivals):
            kept.append(span)
    return sorted(kept)


def megc(truth, spotted, t_eval):
    """TP, FP, FN of each kind by augmenting paths, for dicts of videos."""
    counts = {kind: [0, 0, 0] for kind in KINDS}
    for video in truth:
        for kind in KINDS:
            true, found = ([s for s in side[video] if s.kind == kind] for side in (truth, spotted))
            options = [[s for s, b in enumerate(found) if iou(a, b) >= t_eval] for a in true]
            owner = {}
            tp = sum(_augment(t, options, owner, set()) for t in range(len(true)))
            for i, value in enumerate((tp, len(found) - tp, len(true) - tp)):
                counts[kind][i] += value
    return counts


def _augment(t, options, owner, seen):
    for s in options[t]:
        if s not in seen:
            seen.add(s)
            if s not in owner or _augment(owner[s], options, owner, seen):
                owner[s] = t
                return True
    return False


def zhang2020(true, found, t_eval):
    """TP, FP, FN of one video, kinds not looked at."""
    tp = fp = 0
    first = True
    for b in sorted(found):
        alone = True
        for a in sorted(true):
            if min(a.offset, b.offset) - max(a.onset, b.onset) <= 0:
                continue
            alone = False
            shared = min(a.offset, b.offset) - max(a.onset, b.onset) + 1
            covered = max(a.offset, b.offset) - min(a.onset, b.onset)
            a_in_b = b.onset <= a.onset and a.offset <= b.offset
            b_in_a = a.onset <= b.onset and b.offset <= a.offset
            if a_in_b or b_in_a:
                covered += 1
            if shared / covered >= t_eval:
                tp += 1
            else:
                fp += 2 if first else 1
            first = False
        fp += alone
    return tp, fp, len(true) - tp


def softnet(true, found, t_eval, strictly):
    """TP, FP, FN of one kind in one video; `found` are (onset, offset, score)."""
    if not true:
        return 0, 0, 0
    found = sorted(found, key=lambda b: (-b[2], b)) or [(0, 0, 0.0)]
    free, tp = sorted((a.onset, a.offset) for a in true), 0
    for onset, offset, _ in found:
        ious = [_ratio((onset, offset), a, one=1) for a in free]
        if free and (max(ious) > t_eval or (max(ious) == t_eval and not strictly)):
            free.pop(ious.index(max(ious)))
            tp += 1
    return tp, len(found) - tp, len(true) - tp


def _ratio(a, b, one):
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]) + one)
    covered = (a[1] - a[0] + one) + (b[1] - b[0] + one) - shared
    return shared / covered if covered else float("nan")


def by_duration(true, found, t_eval, longest, one):
    """TP, FP, FN of each kind in one video; `one` is the frame that is added to lengths."""
    tp, n, m = (dict.fromkeys(KINDS, 0) for _ in range(3))
    for a in true:
        m[a.kind] += 1
        if any(_ratio((a.onset, a.offset), (b.onset, b.offset), one) >= t_eval for b in found):
            tp["ME" if a.offset - a.onset <= longest else "MaE"] += 1
    for b in found:
        n["ME" if b.offset - b.onset <= longest else "MaE"] += 1
    return {kind: (tp[kind], n[kind] - tp[kind], m[kind] - tp[kind]) for kind in KINDS}


def abpn(true, found, t_eval):
    """TP, FP, FN of one kind in one video."""
    named, found = set(), sorted(found)
    for a in true:
        ious = [_ratio((a.onset, a.offset), (b.onset, b.offset), one=0) for b in found]
        ious = [0.0 if value != value else value for value in ious]
        if ious and max(ious) > t_eval:
            named.add(ious.index(max(ious)))
    return len(named), len(found) - len(named), len(true) - len(named)


def megc2020(true, found, t_eval):
    """TP, FP, FN of one kind in one video."""
    tp = 0
    for a in true:
        for b in found:
            shared = max(0, min(a.offset, b.offset) - max(a.onset, b.onset)) + 1
            if a.length > 1 and b.length > 1 and shared / (a.length + b.length - shared) >= t_eval:
                tp += 1
                break
    return tp, len(found) - tp, len(true) - tp
