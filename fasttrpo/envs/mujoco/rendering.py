"""Images of the simulations, by Gymnasium's renderer."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Any

from fasttrpo.errors import UserError

MODES = ("rgb_array", "depth_array", "rgbd_tuple")


@dataclass
class Rendering:
    """Gymnasium's keyword arguments for rendering, and the renderer, created on first use.

    Raises ValueError for a `render_mode` that is not in MODES. "human" would open a window for each
    simulation: use `gymnasium.make` for that.
    """

    render_mode: str | None = None
    width: int = 480
    height: int = 480
    camera_id: int | None = None
    camera_name: str | None = None
    max_geom: int = 1000
    visual_options: dict[int, bool] | None = None

    def __post_init__(self) -> None:
        self._renderer: Any = None
        if self.render_mode not in (None, *MODES):
            raise UserError(f"render_mode must be None or one of {MODES}, got {self.render_mode!r}")

    @classmethod
    def arguments(cls) -> list[str]:
        """The names of its keyword arguments."""
        return [field.name for field in fields(cls)]

    def frames(self, batch: Any, task: Any) -> tuple[Any, ...] | None:
        """An image of each simulation, or None without a `render_mode`."""
        import mujoco

        if self.render_mode is None:
            return None
        if self._renderer is None:
            self._renderer = self._make_renderer(task)
        frames = []
        for sim in range(batch.nsim):
            mujoco.mj_forward(task.model, batch.get_data(sim, self._data))
            frames.append(self._renderer.render(self.render_mode))
        return tuple(frames)

    def close(self) -> None:
        """Closes the renderer, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _make_renderer(self, task: Any) -> Any:
        import mujoco
        from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

        buffer = task.model.vis.global_
        buffer.offwidth = max(buffer.offwidth, self.width)
        buffer.offheight = max(buffer.offheight, self.height)
        self._data = mujoco.MjData(task.model)
        return MujocoRenderer(
            task.model,
            self._data,
            _camera(task),
            self.width,
            self.height,
            self.max_geom,
            self.camera_id,
            self.camera_name,
            self.visual_options,
        )


def _camera(task: Any) -> Any:
    """The task's `default_camera_config`, or that of Gymnasium's environment of the same name."""
    if task.default_camera_config is not None:
        return task.default_camera_config
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    spec = gymnasium.registry.get(f"{type(task).__name__}-v5")
    if spec is None:
        return None
    parameters = inspect.signature(load_env_creator(str(spec.entry_point))).parameters
    return parameters["default_camera_config"].default
