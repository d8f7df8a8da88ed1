"""Face crops that stand still, on a photograph moved by a known path, and where there is no face."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mespot_lib import face
from mespot_lib.face import NoFaceError
from mespot_lib.features.cache import CacheWarning, entry_path
from mespot_lib.features.crops import CropRecipe, aligned, crop_stream, face_crops
from mespot_lib.frames import iter_frames
from mespot_lib.manifest import Video

RECIPE = CropRecipe(landmarks="cascade", size=64)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))


def video_of(images, folder, fps=30.0) -> Video:
    folder.mkdir()
    for number, image in enumerate(images, start=1):
        cv2.imwrite(str(folder / f"img{number:05d}.png"), image)
    height, width = images[0].shape[:2]
    return Video(
        f"own/p/{folder.name}",
        "own",
        "p",
        folder.name,
        folder,
        "frames",
        fps,
        first_frame_no=1,
        last_frame_no=len(images),
        frame_prefix="img",
        pad_width=5,
        ext=".png",
        width=width,
        height=height,
    )


@pytest.fixture(scope="module")
def portrait():
    skimage_data = pytest.importorskip("skimage.data")
    photo = cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2BGR)[0:256, 96:352]
    return cv2.resize(photo, (384, 384), interpolation=cv2.INTER_CUBIC)


def motions(count):
    """Similarities about the centre: a head that sways, tilts and comes nearer, up to some 12 px."""
    for t in range(count):
        x, y = 8 * np.sin(t / 3), 6 * np.sin(t / 4 + 1) - 6 * np.sin(1)
        matrix = cv2.getRotationMatrix2D((192, 150), 3 * np.sin(t / 5), 1 + 0.02 * np.sin(t / 6))
        matrix[:, 2] += (x, y)
        yield matrix


def moved(image, matrix):
    return cv2.warpAffine(image, matrix, (384, 384), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture
def swaying(portrait, tmp_path):
    return video_of([moved(portrait, matrix) for matrix in motions(24)], tmp_path / "swaying")


def wander_u(video, recipe):
    """How far the skin wanders within the crop, u: rms over frames and points of the face, from their first place."""
    skin = np.array([(150, 120), (240, 120), (195, 170), (160, 200), (230, 200)], dtype=float)
    places = [
        face.transform_points(face.transform_points(skin, matrix), crop)
        for matrix, (_, _, crop, _) in zip(
            motions(24), aligned(iter_frames(video, grey=False), video, recipe), strict=True
        )
    ]
    return float(np.sqrt(((np.array(places) - places[0]) ** 2).sum(axis=-1).mean()))


def test_a_swaying_head_stands_still_to_a_tenth_of_a_unit(swaying):
    steady = wander_u(swaying, RECIPE)
    assert steady < 0.1
    assert wander_u(swaying, CropRecipe(landmarks="cascade", align="detected")) > 5 * steady


def test_crops_are_mapped_from_disk_and_found_again(swaying, monkeypatch):
    crops = face_crops(swaying, RECIPE)
    assert crops.crops.shape == (24, 64, 64)
    assert crops.crops.dtype == np.float16
    assert isinstance(crops.crops, np.memmap)
    assert not crops.crops.flags.writeable
    assert set(crops.stretch) == {0}
    monkeypatch.setattr("mespot_lib.features.crops._cut", None)
    again = face_crops(swaying, RECIPE)
    assert np.array_equal(again.crops, crops.crops)
    assert again.frames.tolist() == list(range(24))


def test_a_damaged_entry_is_cut_again(swaying):
    before = np.array(face_crops(swaying, RECIPE).crops)
    described = {"name": "crops", "rate_hz": 30.0, "size": 64, "align": "steady", "landmarks": "cascade"}
    entry = entry_path(swaying, described | {"redetect_s": 2.0})
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 255
    entry.write_bytes(data)
    with pytest.warns(CacheWarning, match=re.escape(str(entry))):
        assert np.array_equal(face_crops(swaying, RECIPE).crops, before)


def test_what_lies_on_both_sides_of_a_lost_face_is_not_comparable(portrait, tmp_path):
    grey = np.full_like(portrait, 90)
    video = video_of([portrait] * 4 + [grey] * 8 + [portrait] * 12, tmp_path / "lost")
    crops = face_crops(video, RECIPE)
    assert set(crops.frames[crops.stretch == 0]) == {0, 1, 2, 3}
    assert crops.stretch[-1] == 1
    assert crops.frames[-1] == 23
    assert not set(crops.frames) & set(range(4, 12))


def test_fast_videos_are_sampled(portrait, tmp_path):
    video = video_of([portrait] * 15, tmp_path / "fast", fps=200.0)
    assert face_crops(video, RECIPE).frames.tolist() == [0, 7, 14]


def test_no_face_is_said_with_the_name_of_the_video(tmp_path):
    video = video_of([np.full((120, 160, 3), 128, np.uint8)] * 3, tmp_path / "wall")
    with pytest.raises(NoFaceError, match="own/p/wall"):
        face_crops(video, RECIPE)


def test_a_face_is_followed_once_for_crops_of_all_sizes(swaying, monkeypatch):
    followed = []

    def counted(frames, video, recipe):
        followed.append(recipe)
        return aligned(frames, video, recipe)

    monkeypatch.setattr("mespot_lib.features.crops.aligned", counted)
    small, large = (face_crops(swaying, replace(RECIPE, size=size)) for size in (32, 64))
    assert len(followed) == 1
    for t, crop, stretch in crop_stream(swaying, RECIPE):
        assert np.array_equal(crop.astype(np.float16), large.crops[t])
        assert stretch == 0
    assert len(followed) == 1
    assert small.crops.shape == (24, 32, 32)
    face_crops(swaying, replace(RECIPE, redetect_s=0.5))  # followed in another way
    assert len(followed) == 2
