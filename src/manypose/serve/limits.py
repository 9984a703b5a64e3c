"""`Limits`: the limits of requests."""

from dataclasses import dataclass, fields

from manypose.inference.options import PredictOptions

__all__ = ["Limits", "Refused", "affordable"]

PIXELS = 400_000_000
"""Largest total number of pixels of decoded photos in the queue."""


class Refused(Exception):
    """A refused request: an HTTP status and a one-line message; `retry`: seconds until the client may try again."""

    def __init__(self, status: int, said: str, retry: int | None = None) -> None:
        super().__init__(" ".join(said.split())[:400])
        self.status, self.retry = status, retry


@dataclass(frozen=True)
class Limits:
    """Limits of requests.

    Args:
        queue: photos that may wait at once; further ones get 503 with Retry-After. Raising it refuses fewer clients and makes each wait
            longer.
        max_megabytes: size limit of an uploaded photo or batch of photos.
        max_video_megabytes: size limit of an uploaded video.
        max_megapixels: pixel limit of a photo or video frame.
        max_photos: largest number of photos in a batch.
        max_frames: largest number of frames in a video.
        max_seconds: time limit of a request for photos, from its first byte to its response.
        max_video_minutes: time limit for processing one video.
        max_input: the largest short side of the network's input that a request may choose (size times scale), in pixels.
        max_videos: videos that may wait or run at once.
        keep_hours: hours for which the results of a finished video are kept.

    Raises:
        ValueError: a limit is not positive.
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
        """Pixel limit of a photo."""
        return int(self.max_megapixels * 1e6)


def affordable(options: PredictOptions, limits: Limits) -> None:
    """Raise `Refused` if options exceed the limits of a request."""
    side = (options.size or 1024) * max(options.scales)
    if side > limits.max_input or len(options.scales) > 8:
        raise Refused(422, f"size times the largest scale is limited to {limits.max_input} pixels, with at most 8 scales")
