"""I3D: shapes at every stage, published numbers of parameters, inflation, files of weights."""

import pickle

import pytest
import torch
import torch.nn.functional as nnf
from safetensors.torch import save_file

from mespot_lib.inception import (
    I3d,
    WeightsError,
    inflated,
    load_i3d,
    parameter_count,
    same_max_pool,
    stages,
)

NARROW = 1 / 16


def weights(channels: int = 2, seed: int = 0) -> I3d:
    torch.manual_seed(seed)
    model = I3d(channels, NARROW)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):  # statistics of a trained network are not 0 and 1
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 2)
    return model.eval()


# --- shapes ----------------------------------------------------------------------------------------------------------

# Channels, moments and edge of a clip of 16 x 224 x 224, as in Figure 3 of Carreira and Zisserman
PUBLISHED = {
    "Conv3d_1a_7x7": (64, 8, 112),
    "pool 1": (64, 8, 56),
    "Conv3d_2b_1x1": (64, 8, 56),
    "Conv3d_2c_3x3": (192, 8, 56),
    "pool 2": (192, 8, 28),
    "Mixed_3b": (256, 8, 28),
    "Mixed_3c": (480, 8, 28),
    "pool 3": (480, 4, 14),
    "Mixed_4b": (512, 4, 14),
    "Mixed_4c": (512, 4, 14),
    "Mixed_4d": (512, 4, 14),
    "Mixed_4e": (528, 4, 14),
    "Mixed_4f": (832, 4, 14),
    "pool 4": (832, 2, 7),
    "Mixed_5b": (832, 2, 7),
    "Mixed_5c": (1024, 2, 7),
    "pool 5": (1024, 1, 1),
}


def test_output_of_every_stage_has_the_published_shape():
    with torch.device("meta"):  # shapes without numbers
        at = I3d(3).every_stage(torch.empty(1, 3, 16, 224, 224))
    shapes = {name: (x.shape[1], x.shape[2], x.shape[3]) for name, x in at.items()}
    assert shapes == PUBLISHED
    assert all(x.shape[3] == x.shape[4] for x in at.values())


def test_a_width_scales_the_channels_and_nothing_else():
    with torch.device("meta"):
        at = I3d(2, 0.25).every_stage(torch.empty(1, 2, 16, 224, 224))
    assert stages(0.25) == {name: at[name].shape[1] for name in stages()}
    assert {name: x.shape[2:4] for name, x in at.items()} == {name: s[1:] for name, s in PUBLISHED.items()}
    assert at["Mixed_3c"].shape[1] == 480 / 4


def test_features_are_those_after_the_last_three_pools():
    model, clip = weights(), torch.rand(1, 2, 128, 24, 24)
    at = model.every_stage(clip)
    features = model(clip)
    assert [x.shape[2] for x in features] == [32, 16, 8]
    for x, name in zip(features, ("pool 3", "pool 4", "pool 5"), strict=True):
        assert torch.equal(x, at[name])


@pytest.mark.parametrize(("channels", "published"), [(3, 12.70e6), (2, 12.68e6)])
def test_parameters_at_width_1_are_the_published_ones_with_the_classifier_of_kinetics(channels, published):
    with torch.device("meta"):
        model = I3d(channels)
    assert parameter_count(model, classes=400) == pytest.approx(published, abs=5e3)
    assert parameter_count(model, classes=400) - parameter_count(model) == 1024 * 400 + 400


def test_one_channel_less_is_one_kernel_less():
    with torch.device("meta"):
        three, two = I3d(3), I3d(2)
    assert parameter_count(three) - parameter_count(two) == 64 * 7**3


# --- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 8, 9, 10, 28, 33])
def test_same_padding_rounds_up(size):
    x = torch.rand(1, 2, size, size, size)
    assert same_max_pool(x, (3, 3, 3), (2, 2, 2)).shape[2:] == (-(-size // 2),) * 3
    assert same_max_pool(x, (1, 3, 3), (1, 2, 2)).shape[2:] == (size, -(-size // 2), -(-size // 2))


def test_the_odd_part_of_the_padding_comes_last():
    x = torch.arange(1.0, 5.0).view(1, 1, 1, 1, 4)
    pooled = same_max_pool(x, (1, 1, 3), (1, 1, 2))
    assert pooled.flatten().tolist() == [3, 4]  # 1 2 3 | 3 4 0; with the padding first it were 2, 4


# --- inflation -------------------------------------------------------------------------------------------------------


def flat_kernels(model: I3d) -> dict[str, torch.Tensor]:
    """A two-dimensional network: one moment of each kernel of a three-dimensional one."""
    state = model.state_dict()
    return {name: value[:, :, 0] if value.ndim == 5 else value for name, value in state.items()}


def of_a_picture(kernels: dict[str, torch.Tensor], picture: torch.Tensor) -> dict[str, torch.Tensor]:
    """Inception-v1 of a picture, written a second time and in two dimensions."""

    def padded(x, kernel, stride):
        extra = max(0, (-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1])
        return nnf.pad(x, [extra // 2, extra - extra // 2] * 2)

    def unit(name, x, stride=1):
        kernel = kernels[f"{name}.conv3d.weight"]
        x = nnf.conv2d(padded(x, kernel.shape[-1], stride), kernel, stride=stride)
        norm = (kernels[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return nnf.batch_norm(x, *norm, eps=1e-3).relu()

    def pool(x, kernel):
        return nnf.max_pool2d(padded(x, kernel, 2), kernel, 2)

    def block(name, x):
        around = nnf.max_pool2d(x, 3, 1, 1)
        parts = [
            unit(f"{name}.b0", x),
            unit(f"{name}.b1b", unit(f"{name}.b1a", x)),
            unit(f"{name}.b2b", unit(f"{name}.b2a", x)),
            unit(f"{name}.b3b", around),
        ]
        return torch.cat(parts, dim=1)

    x = pool(unit("Conv3d_1a_7x7", picture, 2), 3)
    x = pool(unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x)), 3)
    at = {"pool 3": pool(block("Mixed_3c", block("Mixed_3b", x)), 3)}
    x = at["pool 3"]
    for letter in "bcdef":
        x = block(f"Mixed_4{letter}", x)
    x = at["pool 4"] = pool(x, 2)
    at["pool 5"] = block("Mixed_5c", block("Mixed_5b", x)).mean(dim=(-2, -1), keepdim=True)
    return at


def test_inflated_weights_give_the_response_to_the_picture_on_a_clip_at_rest(tmp_path):
    kernels = flat_kernels(weights())
    save_file({name: value.contiguous() for name, value in kernels.items()}, tmp_path / "flat.safetensors")
    model = I3d(2, NARROW).eval()
    load_i3d(tmp_path / "flat.safetensors", model)
    picture = torch.randn(1, 2, 32, 32)
    clip = picture.unsqueeze(2).repeat(1, 1, 176, 1, 1)  # so long that its middle sees no padding in time
    with torch.inference_mode():
        of_clip, of_one = model.every_stage(clip), of_a_picture(kernels, picture)
    for name, expected in of_one.items():
        middle = of_clip[name][:, :, of_clip[name].shape[2] // 2]
        assert torch.allclose(middle, expected, atol=1e-4), name
        assert expected.abs().max() > 0.1  # not two nothings
    assert not torch.allclose(of_clip["pool 3"][:, :, 0], of_one["pool 3"], atol=1e-2)  # the ends see it


def test_an_inflated_kernel_adds_up_to_the_flat_one():
    kernel = torch.randn(4, 3, 5, 5)
    assert inflated(kernel, 7).shape == (4, 3, 7, 5, 5)
    assert torch.allclose(inflated(kernel, 7).sum(dim=2), kernel, atol=1e-6)


# --- files -----------------------------------------------------------------------------------------------------------


def other_name(name: str) -> str:
    """The names of the other conversion."""
    for ours, theirs in (
        ("b0", "0"),
        ("b1a", "1.0"),
        ("b1b", "1.1"),
        ("b2a", "2.0"),
        ("b2b", "2.1"),
        ("b3b", "3.1"),
    ):
        name = name.replace(f".{ours}.", f".branch_{theirs}.")
    return name.replace(".bn.", ".batch3d.").replace("Conv3d", "conv3d").replace("Mixed", "mixed")


@pytest.mark.parametrize("rename", [str, other_name, lambda name: f"module.{name}"])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_weights_of_a_file_are_taken_with_the_names_of_either_conversion(tmp_path, kind, rename):
    model, clip = weights(), torch.rand(1, 2, 16, 32, 32)
    state = {rename(name): value for name, value in model.state_dict().items()}
    state["logits.conv3d.weight"] = torch.zeros(400, 64, 1, 1, 1)
    path = tmp_path / f"i3d.{kind}"
    torch.save(state, path) if kind == "pt" else save_file(state, path)
    other = weights(seed=1)
    assert not torch.equal(other(clip)[0], model(clip)[0])
    load_i3d(path, other)
    assert all(torch.equal(a, b) for a, b in zip(other(clip), model(clip), strict=True))


def test_colour_kernels_serve_grey_as_if_it_had_been_copied_into_three_channels(tmp_path):
    colour, grey = weights(3), torch.rand(1, 1, 16, 32, 32)
    torch.save(colour.state_dict(), tmp_path / "rgb.pt")
    model = I3d(1, NARROW).eval()
    load_i3d(tmp_path / "rgb.pt", model)
    for one, other in zip(model(grey), colour(grey.repeat(1, 3, 1, 1, 1)), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


class Trap:
    """What unpickling would run."""

    def __reduce__(self):
        return print, ("executed",)


def test_files_that_will_not_do_are_named_in_one_line(tmp_path, capsys):
    model = I3d(2, NARROW)
    wrong = {
        "absent.pt": None,
        "damaged.safetensors": b"\x00" * 40,
        "damaged.pt": b"not weights",
        "trap.pt": pickle.dumps({"Conv3d_1a_7x7.conv3d.weight": Trap()}, protocol=2),
    }
    for name, content in wrong.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    torch.save({"epoch": 3}, tmp_path / "no_tensors.pt")
    torch.save([1, 2], tmp_path / "a_list.pt")
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "other_network.pt")
    torch.save(weights(3).state_dict(), tmp_path / "colour.pt")
    torch.save({n: v[:1] if v.ndim else v for n, v in weights().state_dict().items()}, tmp_path / "cut.pt")
    for name in (*wrong, "no_tensors.pt", "a_list.pt", "other_network.pt", "colour.pt", "cut.pt"):
        with pytest.raises(WeightsError) as error:
            load_i3d(tmp_path / name, model)
        message = str(error.value)
        assert name in message
        assert "\n" not in message
    assert "executed" not in capsys.readouterr().out


def test_a_refused_file_leaves_the_network_as_it_was(tmp_path):
    model = weights()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save(weights(3, seed=1).state_dict(), tmp_path / "colour.pt")
    with pytest.raises(WeightsError):
        load_i3d(tmp_path / "colour.pt", model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
