"""Logged media and texts: TensorBoard reads them back, and no format drops them silently."""

from __future__ import annotations

import io
import json
import sys
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from helpers import small_model
from tables import table

from fasttrpo.callbacks import BaseCallback
from fasttrpo.logs.logger import Figure, HParam, Image, Video, as_logger, configure
from fasttrpo.logs.pictures import png

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read_back(folder):
    size = {"images": 0, "tensors": 0, "histograms": 0}
    return accumulators.EventAccumulator(str(folder), size_guidance=size).Reload()


def logged(folder, **values):
    """What TensorBoard reads back of the values."""
    logger = configure(folder, ["tensorboard"])
    for tag, value in values.items():
        logger.record(tag, value)
    logger.dump(7)
    logger.close()
    return read_back(folder)


def decoded(event):
    """An image event's pictures (T, height, width, channels), and ms between them."""
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.open(io.BytesIO(event.encoded_image_string))
    frames = []
    for i in range(getattr(picture, "n_frames", 1)):
        picture.seek(i)
        frames.append(np.array(picture))
    assert picture.size == (event.width, event.height)
    frames = np.array(frames)
    return frames if frames.ndim == 4 else frames[..., None], picture.info.get("duration")


class Tensor:
    """Like PyTorch's: must be detached before NumPy can read it."""

    def __init__(self, array):
        self._array = np.asarray(array)
        self.shape, self.dtype = self._array.shape, self._array.dtype

    def detach(self):
        return self

    def cpu(self):
        return self._array

    def item(self):
        return self._array.item()

    def __array__(self, *args, **kwargs):
        raise RuntimeError("detach it first")


@table("value", [2, 2.0, Decimal(2), np.float32(2), np.array(2), Fraction(2), Tensor(2.0)])
def test_numbers_are_scalars(value, tmp_path):
    (event,) = logged(tmp_path, x=value).Scalars("x")
    assert (event.step, event.value) == (7, 2.0)


@pytest.mark.parametrize("kind", [np.asarray, Tensor])
def test_arrays_are_histograms(kind, tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 10))
    (event,) = logged(tmp_path, x=kind(values)).Histograms("x")
    histogram = event.histogram_value
    assert (event.step, histogram.num) == (7, 200)
    assert (histogram.min, histogram.max) == (values.min(), values.max())
    assert histogram.sum == pytest.approx(values.sum())
    assert histogram.sum_squares == pytest.approx((values**2).sum())
    below = [np.count_nonzero(values <= limit) for limit in histogram.bucket_limit]
    np.testing.assert_array_equal(np.cumsum(histogram.bucket), below)


def test_histograms_leave_out_nonfinite_numbers(tmp_path):
    (event,) = logged(tmp_path, x=np.array([1.0, np.nan, np.inf, 3.0])).Histograms("x")
    assert (event.histogram_value.num, event.histogram_value.max) == (2, 3.0)


@pytest.mark.parametrize("values", [[1e308, -1e308], [1.7e18] * 3, [2.0**63]], ids=str)
def test_histograms_of_extreme_numbers_have_one_bin(values, tmp_path):
    (event,) = logged(tmp_path, x=np.array(values)).Histograms("x")
    histogram = event.histogram_value
    assert (histogram.min, histogram.max) == (min(values), max(values))
    assert (histogram.bucket_limit, histogram.bucket) == ([max(values)], [len(values)])


def test_texts_are_logged_as_texts(tmp_path):
    events = logged(tmp_path, note="**bold** ü")
    (event,) = events.Tensors("note/text_summary")
    assert [text.decode() for text in event.tensor_proto.string_val] == ["**bold** ü"]
    metadata = events.SummaryMetadata("note/text_summary")
    assert metadata.plugin_data.plugin_name == "text"


RGB = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)


@table(
    ("image", "dataformats", "shown"),
    [
        (RGB, "HWC", RGB),
        (RGB.transpose(2, 0, 1), "CHW", RGB),
        (RGB.transpose(1, 0, 2), "whc", RGB),
        (Tensor(RGB), "HWC", RGB),
        (RGB[..., 0], "HW", RGB[..., :1]),
        (np.float32(RGB / 255), "HWC", RGB),
        (np.stack([RGB, RGB, RGB, RGB]), "NHWC", np.tile(RGB, (2, 2, 1))),
    ],
)
def test_images_are_shown_in_any_format(image, dataformats, shown, tmp_path):
    (event,) = logged(tmp_path, x=Image(image, dataformats)).Images("x")
    frames, _ = decoded(event)
    np.testing.assert_allclose(frames[0].astype(int), shown, atol=1)


def test_videos_are_animated(tmp_path):
    frames = np.random.default_rng(2).integers(0, 256, (1, 6, 3, 4, 5), np.uint8)
    (event,) = logged(tmp_path, x=Video(frames, fps=40)).Images("x")
    shown, milliseconds = decoded(event)
    np.testing.assert_array_equal(shown, frames[0].transpose(0, 2, 3, 1))
    assert milliseconds == 25


def test_figures_are_drawn_and_closed(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, kept = (pyplot.figure(figsize=(2, 1), dpi=50, facecolor="red") for _ in range(2))
    canvas = kept.canvas
    events = logged(tmp_path, x=Figure(figure), y=Figure(kept, close=False))
    for tag in "xy":
        frames, _ = decoded(events.Images(tag)[0])
        np.testing.assert_array_equal(frames, np.tile([255, 0, 0, 255], (1, 50, 100, 1)))
    assert pyplot.get_fignums() == [kept.number]
    assert kept.canvas is canvas
    pyplot.close(kept)


def test_hyperparameters_are_logged(tmp_path):
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    settings = {"lr": np.float32(0.5), "algo": "TRPO", "on": True, "none": None, "arch": [64, 64]}
    events = logged(tmp_path, x=HParam(settings, {"rollout/ep_rew_mean": 0.0}))

    def part(name):
        content = events.SummaryMetadata(f"_hparams_/{name}").plugin_data.content
        return plugin.HParamsPluginData.FromString(content)

    params = part("session_start_info").session_start_info.hparams
    assert set(params) == {"lr", "algo", "on", "arch"}
    assert params["lr"].number_value == 0.5
    assert params["algo"].string_value == "TRPO"
    assert params["on"].bool_value is True
    assert params["arch"].string_value == "[64, 64]"
    (metric,) = part("experiment").experiment.metric_infos
    assert metric.name.tag == "rollout/ep_rew_mean"


class SB3Image:
    """Like Stable-Baselines3's class Image."""

    def __init__(self, image, dataformats):
        self.image, self.dataformats = image, dataformats


SB3Image.__name__ = "Image"


def test_classes_of_stable_baselines3_are_accepted(tmp_path):
    (event,) = logged(tmp_path, x=SB3Image(RGB, "HWC")).Images("x")
    np.testing.assert_array_equal(decoded(event)[0][0], RGB)


NOT_SHOWN = [
    [1, 2],
    object(),
    1j,
    b"bytes",
    np.array([np.nan]),
    np.array([]),
    np.array(["a", "b"]),
    Image(RGB, "HW"),
    Image(RGB, "HHC"),
    Image(np.zeros((5, 7, 9)), "HWC"),
    Image("a.png", "HWC"),
    Video(np.zeros((1, 2, 3, 4)), 4),
    Video(np.zeros((1, 2, 3, 4, 5)), 0),
    Figure(None),
    HParam({}, None),
]


def dump_twice(logger, key, value):
    for step in (1, 2):
        logger.record(key, value)
        logger.record("other", 1.0)
        logger.dump(step)
    logger.close()


@table("value", NOT_SHOWN, ids=lambda value: type(value).__name__)
def test_values_that_tensorboard_cannot_show_warn_once(value, tmp_path):
    logger = configure(tmp_path, ["tensorboard"])
    with pytest.warns(UserWarning, match=r"TensorBoard cannot show 'odd/one', of type ") as caught:
        dump_twice(logger, "odd/one", value)
    assert len(caught) == 1
    assert len(read_back(tmp_path).Scalars("other")) == 2


@table("name", ["stdout", "log", "csv", "json"])
def test_formats_without_images_warn_once(name, tmp_path):
    logger = configure(tmp_path, [name])
    with pytest.warns(
        UserWarning, match=f"format '{name}' cannot show 'x', of type Image"
    ) as caught:
        dump_twice(logger, "x", Image(RGB))
    assert len(caught) == 1


def test_excluded_formats_do_not_warn(tmp_path):
    """ "stdout" and "log" exclude the same formats, as in Stable-Baselines3."""
    logger = configure(tmp_path, ["stdout", "rows", "log", "csv", "json", "tensorboard"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logger.record("x", Image(RGB), exclude=("stdout", "json", "csv"))
        logger.record("note", "two\nlines", exclude="csv")
        logger.dump(1)
    logger.close()
    assert len(read_back(tmp_path).Images("x")) == 1
    assert "two lines" in (tmp_path / "log.txt").read_text()
    assert json.loads((tmp_path / "progress.json").read_text())["note"] == "two\nlines"


def test_training_logs_media_and_keeps_records_small(tmp_path):
    model = small_model(tensorboard_log=str(tmp_path))

    def show(locals_, globals_):
        model.logger.record("image", Image(RGB))
        model.logger.record("weights", model.policy.state_dict()["action_net.weight"])
        model.logger.record("note", "a text")
        model.logger.record("height", np.array(1.5))

    model.learn(128, show)
    events = read_back(tmp_path / "TRPO_1")
    assert [event.step for event in events.Images("image")] == [64, 128]
    assert len(events.Histograms("weights")) == 2
    assert [tag for tag in events.Tags()["tensors"] if "train" in tag] == []
    assert len(events.Tensors("note/text_summary")) == 2
    assert "train/height" not in events.Tags()["scalars"]  # it has its own tag
    record = model.records[-1]
    assert (record["note"], record["height"]) == ("a text", 1.5)
    assert not {"image", "weights"} & set(record)
    assert "torch" not in sys.modules


@pytest.mark.parametrize("moment", ["_on_record", "_on_training_end"])
def test_values_recorded_at_the_end_are_logged(moment, tmp_path):
    callback, model = BaseCallback(), small_model(tensorboard_log=str(tmp_path))
    setattr(callback, moment, lambda *_: callback.logger.record("last/one", 5.0))
    model.learn(64, callback)
    (event,) = read_back(tmp_path / "TRPO_1").Scalars("last/one")
    assert (event.step, event.value) == (64, 5.0)


def test_an_sb3_logger_gets_texts_and_media():
    class SB3Logger:
        def __init__(self):
            self.values = {}

        def record(self, key, value, exclude=None):
            self.values[key] = value, exclude

        def dump(self, step=0):
            pass

        def get_dir(self):
            return None

        log = set_level = close = dump

    sb3_logger, image = SB3Logger(), Image(RGB)
    logger = as_logger(sb3_logger)
    logger.record("note", "a text")
    logger.record("x", image, exclude="csv")
    logger.dump(1)
    assert sb3_logger.values == {"note": ("a text", ()), "x": (image, ("csv",))}


def test_a_png_of_too_many_channels_is_rejected():
    with pytest.raises(ValueError, match="1 to 4 channels"):
        png(np.zeros((1, 2, 2, 5), np.uint8))
