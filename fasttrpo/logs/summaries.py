"""TensorBoard's summaries of values: numbers as scalars, arrays as histograms, strings, pictures,
videos (as animated PNG) and a run's settings. Uses the package tensorboard's message types.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fasttrpo.checks.values import is_real, plain
from fasttrpo.errors import UserError
from fasttrpo.logs.media import medium
from fasttrpo.logs.pictures import as_bytes, png, tile

N_BINS = 30  # as many as TensorBoard shows


def convert(tag: str, value: Any) -> list[Any]:
    """The summary's values for one value of the log. Raises ValueError, or an error of the value
    itself, if TensorBoard cannot show it.
    """
    kind = medium(value)
    if kind:
        return _OF_MEDIA[kind](tag, value)
    value = plain(value)
    if isinstance(value, str):
        return [_text(tag, value)]
    if isinstance(value, bool) or is_real(value):
        return [_value(tag, simple_value=float(value))]
    if hasattr(value, "__array__"):
        return [_value(tag, histo=_histogram(array_of(value)))]
    raise UserError("it is not a number, an array, a string or a class of fasttrpo.logs.media")


def array_of(value: Any) -> np.ndarray:
    """Converts anything like an array, including PyTorch tensors, to NumPy."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def _value(tag: str, **content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, **content)


def _histogram(array: np.ndarray) -> Any:
    """A histogram of the finite numbers."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    values = np.asarray(array, np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        raise UserError(f"no number in its array of shape {array.shape} is finite")
    with np.errstate(over="ignore", invalid="ignore"):
        counts, limits = _bins(values)
        return HistogramProto(
            min=values.min(),
            max=values.max(),
            num=values.size,
            sum=values.sum(),
            sum_squares=values @ values,
            bucket_limit=limits.tolist(),
            bucket=counts.tolist(),
        )


def _bins(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and upper limits; one bin if the numbers are too close together or too far apart."""
    low, high = values.min(), values.max()
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / N_BINS
    if not np.spacing(max(abs(low), abs(high))) < width < np.inf:
        return np.array([values.size]), values.max(keepdims=True)
    counts, edges = np.histogram(values, N_BINS, (low, high))
    return counts, edges[1:]


def _text(tag: str, text: str) -> Any:
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=shape)
    return _value(f"{tag}/text_summary", metadata=_metadata("text"), tensor=tensor)


def _metadata(plugin: str, content: bytes = b"") -> Any:
    from tensorboard.compat.proto.summary_pb2 import SummaryMetadata

    data = SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    return SummaryMetadata(plugin_data=data)


# -- media ----------------------------------------------------------------------------------------


def _pictures(tag: str, frames: np.ndarray, fps: float = 1.0) -> list[Any]:
    """(T, height, width, channels)."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    height, width, depth = frames.shape[1:]
    data = png(frames, fps)
    image = Summary.Image(height=height, width=width, colorspace=depth, encoded_image_string=data)
    return [_value(tag, image=image)]


def _image(tag: str, value: Any) -> list[Any]:
    array, axes = array_of(value.image), value.dataformats.upper()
    is_known = {*"HW"} <= {*axes} <= {*"NHWC"}
    if not is_known or not len({*axes}) == len(axes) == array.ndim:
        raise UserError(f"dataformats={value.dataformats!r} does not fit the shape {array.shape}")
    array = array.transpose([axes.index(axis) for axis in "NHWC" if axis in axes])
    array = array if "N" in axes else array[None]
    array = array if "C" in axes else array[..., None]
    return _pictures(tag, tile(as_bytes(array))[None])


def _video(tag: str, value: Any) -> list[Any]:
    array = array_of(value.frames)
    if array.ndim != 5:
        raise UserError(f"frames must be (N, T, channels, height, width), got {array.shape}")
    frames = as_bytes(array.transpose(1, 0, 3, 4, 2))
    return _pictures(tag, np.stack([tile(each) for each in frames]), float(value.fps))


def _figure(tag: str, value: Any) -> list[Any]:
    figures = value.figure if isinstance(value.figure, list | tuple) else [value.figure]
    shown = _pictures(tag, tile(np.stack([_drawn(each) for each in figures]))[None])
    pyplot = sys.modules.get("matplotlib.pyplot")
    if value.close and pyplot is not None:
        for figure in figures:
            pyplot.close(figure)
    return shown


def _drawn(figure: Any) -> np.ndarray:
    """Draws the figure, (height, width, 4), without affecting a window that shows it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    before = figure.canvas
    try:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())
    finally:
        figure.set_canvas(before)


def _settings(tag: str, value: Any) -> list[Any]:
    """The values of the HParams plugin, under its own tags."""
    from tensorboard.plugins.hparams import api_pb2 as api
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams import plugin_data_pb2 as data

    start, infos = data.SessionStartInfo(), []
    for name, setting in value.hparam_dict.items():
        if setting is not None:
            field, kind, setting = _typed(plain(setting))
            setattr(start.hparams[name], field, setting)
            infos.append(api.HParamInfo(name=name, type=kind))
    metrics = [api.MetricInfo(name=api.MetricName(tag=name)) for name in value.metric_dict]
    run = api.Experiment(hparam_infos=infos, metric_infos=metrics)
    ended = data.SessionEndInfo(status="STATUS_SUCCESS")
    parts = {
        metadata.EXPERIMENT_TAG: data.HParamsPluginData(experiment=run),
        metadata.SESSION_START_INFO_TAG: data.HParamsPluginData(session_start_info=start),
        metadata.SESSION_END_INFO_TAG: data.HParamsPluginData(session_end_info=ended),
    }
    contents = {name: part.SerializeToString() for name, part in parts.items()}
    plugin = metadata.PLUGIN_NAME
    return [_value(name, metadata=_metadata(plugin, each)) for name, each in contents.items()]


def _typed(setting: Any) -> tuple[str, str, Any]:
    """The name of the protobuf field, its type, and the value for it."""
    if isinstance(setting, bool):
        return "bool_value", "DATA_TYPE_BOOL", setting
    if is_real(setting):
        return "number_value", "DATA_TYPE_FLOAT64", float(setting)
    return "string_value", "DATA_TYPE_STRING", str(setting)


_OF_MEDIA = {"Image": _image, "Video": _video, "Figure": _figure, "HParam": _settings}
