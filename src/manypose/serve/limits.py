"""`Limits`: what a request may cost the service."""

from dataclasses import dataclass, fields

from manypose.inference.options import PredictOptions

__all__ = ["Limits", "Refused", "affordable"]

PIXELS = 400_000_000
"""Pixels of decoded photos that wait at most for the network."""


class Refused(Exception):
    """A request that is not served: an HTTP status and one line; `retry` is in how many seconds the client may try again."""

    def __init__(self, status: int, said: str, retry: int | None = None) -> None:
        super().__init__(" ".join(said.split())[:400])
        self.status, self.retry = status, retry


@dataclass(frozen=True)
class Limits:
    """What requests may cost.

    Args:
        queue: photos that are accepted at a time and not yet answered; further ones get 503 with Retry-After. Raising it turns fewer
            clients away and lets each wait longer.
        max_megabytes: the largest photo, or batch of photos, as it is sent.
        max_video_megabytes: the largest video as it is sent.
        max_megapixels: the largest photo or frame of a video that is decoded.
        max_photos: photos of one batch.
        max_frames: frames of one video.
        max_seconds: how long a request for photos may take, from its first byte to its answer.
        max_video_minutes: how long the people of one video may be looked for.
        max_input: the largest short side of a network's input that a request may ask for (size times scale), in pixels.
        max_videos: videos that are accepted at a time and not yet finished.
        keep_hours: for how long a finished video's results are kept.

    Raises:
        ValueError: a limit is not above 0.
    """

    queue: int = 128
    max_megabytes: float = 32.0
    max_video_megabytes: float = 512.0
    max_megapixels: float = 50.0
    max_photos: int = 64
    max_frames: int = 20_000
    max_seconds: float = 60.0
    max_video_minutes: float = 60.0
    max_input: int = 2048
    max_videos: int = 16
    keep_hours: float = 24.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 < getattr(self, field.name) < 10**9:
                raise ValueError(f"{field.name} must be above 0, got {getattr(self, field.name)}")

    @property
    def pixels(self) -> int:
        """The largest photo, in pixels."""
        return int(self.max_megapixels * 1e6)


def affordable(options: PredictOptions, limits: Limits) -> None:
    """Raises `Refused` where options ask for more than one request may cost."""
    side = (options.size or 1024) * max(options.scales)
    if side > limits.max_input or len(options.scales) > 8:
        raise Refused(422, f"size times the largest scale may be {limits.max_input} pixels here, with at most 8 scales")
