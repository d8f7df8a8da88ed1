"""What the camera sees agrees with what was planned: landmarks, motion, noise, repeatability, memory."""

import hashlib
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest

from mespot_lib.synthetic.brushes import canvas_axes
from mespot_lib.synthetic.chance import video_seed
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.geometry import SIDES, draw_shape, place_lids
from mespot_lib.synthetic.hair import STYLES, paint_beard, paint_hair
from mespot_lib.synthetic.identity import make_identity
from mespot_lib.synthetic.look import BEARDS, draw_look
from mespot_lib.synthetic.muscles import COLUMNS, column
from mespot_lib.synthetic.render import develop, draw_planes, landmarks_px, render_frames, set_stage
from mespot_lib.synthetic.timeline import neutral_state, plan_timeline, plan_video

CONFIG = SyntheticConfig.casme2()
SCALE = CONFIG.pixels_per_u
INNER = np.arange(17, 68)  # without the jaw line, along which nothing can be tracked


@pytest.fixture(scope="module")
def people():
    return [make_identity(seed) for seed in (0, 5, 10)]


@pytest.fixture(scope="module")
def stages(people):
    return [set_stage(person, CONFIG, 1) for person in people]


def moving(**strengths):
    """State of a face whose action units have the given amplitudes on both sides."""
    muscles = np.zeros(COLUMNS, np.float32)
    for name, strength in strengths.items():
        muscles[[column(name.removeprefix("au"), side) for side in SIDES]] = strength
    return neutral_state(muscles=muscles)


def clean_grey(stage, state):
    """Noise-free grey image (H, W) uint8."""
    image = np.ascontiguousarray(np.moveaxis(draw_planes(stage, state), 0, 2))
    return np.clip(np.rint(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)), 0, 255).astype(np.uint8)


def photographed(stage, state, seed):
    """Grey image after noise and JPEG, as a pipeline reads it."""
    image = develop(stage, draw_planes(stage, state), np.random.default_rng(seed))
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, CONFIG.jpeg_quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


def flow_between(first, second):
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0)
    return method.calc(first, second, None)


def flow_at(flow, points, reach=4):
    """Median flow (N, 2) in a patch around each point."""
    patches = []
    for x, y in np.rint(points).astype(int):
        patch = flow[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        patches.append(np.median(patch, (0, 1)))
    return np.array(patches)


# --- repeatability ------------------------------------------------------------------------------------------


def digest_of_start(config, frames=6):
    """Digest of the first frames and landmarks of a video."""
    seed = video_seed(config, 0, 0)
    digest = hashlib.sha256()
    drawn = render_frames(make_identity(3), plan_video(config, 0, 0), config, seed)
    for image, landmarks in islice(drawn, frames):
        digest.update(image.tobytes())
        digest.update(landmarks.tobytes())
    return digest.hexdigest()


def test_another_process_draws_the_same_bits():
    code = (
        "import cv2; cv2.setNumThreads(1); import sys; sys.path.insert(0, 'tests');"
        "import test_synthetic_render as t; print(t.digest_of_start(t.CONFIG))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest_of_start(CONFIG)


def test_seeds_change_the_picture(people):
    frames = [
        next(render_frames(people[0], plan_timeline(CONFIG, 1, {}), CONFIG, seed))[0].astype(int)
        for seed in (1, 2)
    ]
    assert np.abs(frames[0] - frames[1]).mean() > 0.5


# --- images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [CONFIG, SyntheticConfig.samm_lv()], ids=["colour", "grey"])
def test_frames_have_the_promised_form(people, config):
    image, landmarks = next(render_frames(people[0], plan_video(config, 0, 0), config, 1))
    assert image.dtype == np.uint8
    assert image.shape == ((256, 256) if config.grey else (256, 256, 3))
    assert landmarks.shape == (68, 2)
    assert landmarks.dtype == np.float32
    assert (landmarks > 0).all()
    assert (landmarks < 256).all()


def test_the_inner_eye_corners_define_the_unit(stages):
    for stage in stages:
        landmarks = landmarks_px(stage, neutral_state())
        shape = stage.identity.shape
        assert np.allclose((landmarks[39] + landmarks[42]) / 2, stage.origin, atol=1e-3)
        assert landmarks[42, 0] - landmarks[39, 0] == pytest.approx(2 * shape.eye_inner_x * SCALE, abs=1e-3)
        assert 2 * shape.eye_inner_x == pytest.approx(64, abs=4)


def test_noise_has_the_asked_strength_and_is_new_in_every_frame(stages):
    planes = draw_planes(stages[0], neutral_state())
    rng = np.random.default_rng(0)
    shots = np.stack([develop(stages[0], planes, rng) for _ in range(40)]).astype(float)
    expected = CONFIG.noise_levels * np.sqrt(0.4 + 0.006 * np.moveaxis(planes, 0, 2))
    measured = shots.std(0)
    middling = (shots.mean(0) > 20) & (shots.mean(0) < 235)
    assert np.median(measured[middling] / expected[middling]) == pytest.approx(1, abs=0.06)
    steps = np.diff(shots, axis=0).reshape(39, -1)
    assert abs(np.corrcoef(steps[0], steps[2])[0, 1]) < 0.02


def test_grey_is_the_grey_of_the_colours(people):
    state = neutral_state()
    grey = replace(CONFIG, grey=True)
    for person in people:
        colours = clean_grey(set_stage(person, CONFIG, 1), state).astype(int)
        direct = draw_planes(set_stage(person, grey, 1), state)[0]
        assert np.abs(colours - direct).mean() < 0.6


def test_every_hair_style_and_beard_can_be_drawn():
    shape = draw_shape(np.random.default_rng(0), 1.0)
    for style in STYLES:
        look = replace(draw_look(np.random.default_rng(1)), hair_style=style)
        alpha = paint_hair(shape, look, np.random.default_rng(2))[..., 3] / 255
        assert 0.01 < alpha.mean() < 0.5
    for beard in BEARDS:
        look = replace(draw_look(np.random.default_rng(1)), beard=beard)
        alpha = paint_beard(shape, look, np.random.default_rng(2))[..., 3] / 255
        assert alpha.mean() < 0.2
        assert (alpha.max() > 0.3) == (beard != "none")


def test_hair_beard_and_glasses_leave_the_eyes_free(people):
    for seed in range(30, 36):
        look = draw_look(np.random.default_rng(seed))
        assert look.hair_style in STYLES
    for person in people:
        x, y = canvas_axes()
        in_eyes = (np.abs(np.abs(x) - 61) < 22) & (np.abs(y) < 6)
        hair = paint_hair(person.shape, person.look, np.random.default_rng(0))[..., 3]
        assert hair[in_eyes].max() == 0


def test_faces_do_not_share_their_looks(people):
    looks = {(p.look.hair_style, p.look.hair, p.look.iris, p.look.glasses, p.look.beard) for p in people}
    assert len(looks) == len(people)


@pytest.mark.slow
def test_the_cascade_finds_every_face_once_with_open_and_shut_eyes():
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    cameras = [(256, 256, 0.6), (320, 240, 0.52), (640, 480, 1.0)]
    single = []
    for seed in range(24):
        person = make_identity(seed)
        for width, height, scale in cameras:
            config = replace(CONFIG, width=width, height=height, pixels_per_u=scale)
            stage = set_stage(person, config, seed)
            for opening in (1.0, 0.0):
                image = clean_grey(stage, neutral_state(opening=np.full(2, opening)))
                boxes = cascade.detectMultiScale(image, 1.1, 3, minSize=(int(150 * scale),) * 2)
                good = len(boxes) == 1 and abs(boxes[0][2] / scale - 311) < 60
                single.append(good)
    assert np.mean(single) >= 0.98


@pytest.mark.slow
def test_a_landmark_detector_agrees_with_the_landmarks():
    """MediaPipe's mesh is found on every face, colour and grey, and its clearest points lie where ours lie."""
    solutions = pytest.importorskip("mediapipe").solutions
    ours, theirs = [39, 42, 48, 54, 33, 51, 57], [133, 362, 61, 291, 2, 0, 17]
    distances_u = []
    with solutions.face_mesh.FaceMesh(static_image_mode=True) as mesh:
        for config in (CONFIG, SyntheticConfig.samm_lv()):
            for seed in range(6):
                stage = set_stage(make_identity(seed), config, seed)
                image = develop(stage, draw_planes(stage, neutral_state()), np.random.default_rng(seed))
                image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if config.grey else cv2.COLOR_BGR2RGB)
                found = mesh.process(image).multi_face_landmarks
                assert found, (config.name, seed)
                places = [(found[0].landmark[i].x * 256, found[0].landmark[i].y * 256) for i in theirs]
                true = landmarks_px(stage, neutral_state())[ours]
                distances_u.append(np.hypot(*(np.array(places) - true).T) / SCALE)
    assert np.median(distances_u) < 4
    assert np.percentile(distances_u, 90) < 9


# --- landmarks and motion -----------------------------------------------------------------------------------

STATES = {
    "smile": moving(au12=4.0),
    "strong smile": moving(au6=6.0, au12=12.0),
    "frown": moving(au4=3.0),
    "pressed lips": moving(au24=5.0),
    "turned": neutral_state(yaw=0.03, pitch=-0.02),
    "moved": neutral_state(x=4.0, y=3.0, roll=0.02, size=1.01),
    "talking": neutral_state(mouth=6.0),
}


@pytest.mark.parametrize("name", STATES)
def test_landmarks_show_the_skin_they_belong_to(stages, name):
    """At a landmark the drawing takes its colour from the landmark's place on the face at rest."""
    from mespot_lib.synthetic import render

    state = STATES[name]
    for stage in stages:
        inverse = render._inverse_similarity(stage, state)
        _, source, plain = render._coarse_maps(stage, state, inverse)
        map_x, map_y = render._full_map(stage, inverse, source, plain)
        x, y = landmarks_px(stage, state).T.reshape(2, 1, -1)
        columns, rows = (cv2.remap(part, x, y, cv2.INTER_LINEAR)[0] for part in (map_x, map_y))
        height, width = stage.painting.shape[:2]
        taken = np.stack([(columns + 0.5) / width * 400 - 200, (rows + 0.5) / height * 508 - 240], 1)
        shape = stage.identity.shape
        at_rest = place_lids(stage.identity.landmarks, shape, state.opening, state.raised)
        distance = np.hypot(*(taken - at_rest).T)
        assert np.median(distance) < 0.04
        assert distance.max() < 0.2


@pytest.mark.parametrize("name", ["smile", "frown", "turned"])
def test_a_tracker_finds_the_landmarks(people, name):
    """Lucas-Kanade on noise-free images, one pixel per u."""
    config = replace(CONFIG, width=430, height=430, pixels_per_u=1.0)
    for person in people:
        stage = set_stage(person, config, 1)
        rest, moved = landmarks_px(stage, neutral_state()), landmarks_px(stage, STATES[name])
        images = clean_grey(stage, neutral_state()), clean_grey(stage, STATES[name])
        found, _, _ = cv2.calcOpticalFlowPyrLK(*images, rest[:, None], None, winSize=(15, 15), maxLevel=3)
        error = np.hypot(*(found[:, 0] - moved).T)[INNER]
        assert np.median(error) < 0.1
        assert np.percentile(error, 90) < 0.5


@pytest.mark.parametrize(
    ("action_unit", "points"), [("12", (48, 54)), ("4", (20, 21, 22, 23)), ("2", (18, 25))]
)
def test_measured_motion_is_linear_in_the_amplitude(stages, action_unit, points):
    """Through noise, JPEG and optical flow, from a quarter of a unit to three units."""
    points = list(points)
    for stage in stages:
        rest = landmarks_px(stage, neutral_state())
        for amplitude in (0.25, 1.0, 3.0):
            state = moving(**{f"au{action_unit}": amplitude})
            true = (landmarks_px(stage, state) - rest)[points]
            read = [
                flow_at(
                    flow_between(
                        photographed(stage, neutral_state(), 2 * shot),
                        photographed(stage, state, 2 * shot + 1),
                    ),
                    rest[points],
                )
                for shot in range(2)
            ]
            length = np.hypot(*true.T).mean()
            along = (np.mean(read, 0) * true).sum(1).mean() / length
            assert abs(along - length) / SCALE <= max(0.1, 0.25 * length / SCALE)


@pytest.fixture(scope="module")
def strong_events():
    """Some expressions above 1.5 u with what was measured and planted at the landmarks around them.

    Both are relative to the nose bridge, in u, (frames, landmarks * 2), from the frame of the onset on.
    """
    measured_and_planted = []
    for subject in range(3):
        person, timeline, seed = make_identity(subject), plan_video(CONFIG, subject, 0), subject
        stage = set_stage(person, CONFIG, seed)
        strong = [event for event in timeline.events if event.amplitude_u > 1.5 and event.aus != ("5",)]
        for event in strong[:2]:
            first = timeline.state(event.exact_onset)
            start, reference = landmarks_px(stage, first), photographed(stage, first, 0)
            rows = []
            for frame in range(event.exact_onset + 2, event.exact_offset, 3):
                state = timeline.state(frame)
                flow = flow_at(flow_between(reference, photographed(stage, state, frame)), start)
                planted = landmarks_px(stage, state) - start
                rows.append(
                    [(motion - motion[27:31].mean(0))[_followed(event.aus)] for motion in (flow, planted)]
                )
            measured, planted = (
                np.array(part).reshape(len(rows), -1) / SCALE for part in zip(*rows, strict=True)
            )
            measured_and_planted.append((event, measured, planted))
    return measured_and_planted


def _followed(aus):
    """Landmarks next to the muscles of an expression: brows, mouth or lower lids."""
    upper, lids = {"1", "2", "4"}, {"7"}
    points = []
    if upper & set(aus):
        points += list(range(17, 27))
    if lids & set(aus):
        points += [40, 41, 46, 47]
    if set(aus) - upper - lids:
        points += [48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59]
    return points


def test_flow_follows_the_planted_displacement(strong_events):
    assert len(strong_events) >= 4
    for event, measured, planted in strong_events:
        correlation = np.corrcoef(measured.ravel(), planted.ravel())[0, 1]
        assert correlation > 0.9, (event, correlation)


def test_neutral_spans_stay_under_the_noise_floor_yet_are_not_still(people):
    """No expression, no blink, no talk: landmarks move less than the weakest micro-expression, but they move."""
    config = replace(CONFIG, nods_per_min=0.0, swallows_per_min=0.0, talks_per_min=0.0, blinks_per_min=0.0)
    timeline = plan_timeline(config, 4, {"ME": 0, "MaE": 0})
    points = [18, 20, 23, 25, 48, 51, 54, 57]
    for person in people:
        stage = set_stage(person, config, 1)
        first = timeline.state(0)
        start, reference = landmarks_px(stage, first), photographed(stage, first, 0)
        motion = []
        for frame in range(2, 16, 2):
            state = timeline.state(frame)
            flow = flow_at(flow_between(reference, photographed(stage, state, frame)), start)
            motion.append(np.hypot(*(flow[points] - flow[27:31].mean(0)).T) / SCALE)
        assert 0.03 < np.median(motion) < 0.35
        assert np.max(motion) < 1.5


# --- memory -------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_length_of_the_video(people):
    config = replace(CONFIG, width=128, height=128, pixels_per_u=0.3, seconds_per_video=400.0)
    drawn = render_frames(people[0], plan_timeline(config, 1, {"ME": 3, "MaE": 3}), config, 1)
    tracemalloc.start()
    peaks = []
    for _ in range(3):
        tracemalloc.reset_peak()
        for _ in islice(drawn, 60):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[2] < peaks[0] + 200_000


def test_an_hour_of_timeline_is_small():
    config = replace(CONFIG, seconds_per_video=3600.0)
    timeline = plan_timeline(config, 1, {"ME": 25, "MaE": 130})
    size = sum(
        part.nbytes for part in (timeline.muscles, timeline.opening, timeline.raised, *timeline.head[:6])
    )
    assert size < 30e6  # beside some 20 GB of frames
