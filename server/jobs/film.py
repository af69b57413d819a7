"""Chunks of frames as files, and the film they are joined to without encoding them again."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from models.timebase import FRAMES_PER_SECOND, WIRE_RATE_HZ
from server.render import sound_frame

_X264 = {"crf": "16", "preset": "fast", "threads": "1"}
"""One thread: with more, what is encoded depends on how many the machine has."""


def write_chunk(file: Path | BinaryIO, pictures: Iterable[NDArray[np.uint8]]) -> int:
    """Encode I420 pictures (height * 3 / 2, width) as a film of their own; returns how many there were."""
    count = 0
    with av.open(str(file) if isinstance(file, Path) else file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=dict(_X264))
        for picture in pictures:
            if not count:
                video.height, video.width = picture.shape[0] * 2 // 3, picture.shape[1]
                video.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = count, Fraction(1, FRAMES_PER_SECOND)
            container.mux(video.encode(frame))
            count += 1
        container.mux(video.encode(None))
    return count


def join(path: Path, chunks: Iterable[tuple[int, Path]], sound: Iterator[NDArray[np.float32]]) -> None:
    """Write the film.

    Args:
        path: the MP4 file.
        chunks: first frame and file of each, in order.
        sound: (n,) chunks of 40 ms at 48 kHz mono, the last may be shorter.
    """
    with av.open(str(path), "w", format="mp4") as container:
        video: av.VideoStream | None = None
        audio: av.AudioStream | None = None
        tick = 0
        for first_frame, chunk in chunks:
            with av.open(str(chunk)) as source:
                encoded = source.streams.video[0]
                if video is None or audio is None:
                    video = container.add_stream_from_template(encoded)
                    audio = container.add_stream("aac", rate=WIRE_RATE_HZ, layout="mono")
                for packet in source.demux(encoded):
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue  # the end's empty packet
                    shift = round(Fraction(first_frame, FRAMES_PER_SECOND) / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, video
                    container.mux(packet)
                    samples = next(sound, None)
                    if samples is not None:
                        container.mux(audio.encode(sound_frame(samples, tick)))
                        tick += len(samples)
        if audio is not None:
            container.mux(audio.encode(None))
