"""Pictures in, pictures out: the networks joined as the published pipeline joins them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.liveportrait.crop import FaceCrop, cut, paste, paste_mask, place_mask, source_square
from models.liveportrait.driving import Driver, DrivingFrame, SourceFace, VideoDriver
from models.liveportrait.keypoints import Head
from models.liveportrait.landmarks import Points, eye_ratios, lip_ratios
from models.liveportrait.pixels import Picture, to_input, to_pictures
from models.liveportrait.settings import Settings
from models.liveportrait.source_cache import SourceCache
from models.liveportrait.template import MotionTemplate
from models.liveportrait.weights import Networks

_MOTION_BATCH = 8


@dataclass(frozen=True)
class Source:
    """A portrait ready to be moved: all that depends on it alone. One serves any number of sessions."""

    face: SourceFace
    volume: Tensor
    """(1, 32 * width, depth, 64, 64): F's features."""
    picture: Picture | None = None
    """(h, w, 3): what drawn crops are pasted into; None without pasting."""
    to_picture: NDArray[np.float32] | None = None
    """(3, 3), from the crop's pixels to the picture's."""
    placed_mask: NDArray[np.float32] | None = None
    """(h, w, 3)."""

    def pasted(self, drawn: Picture) -> Picture:
        """A drawn crop (512, 512, 3) in its place in the source picture, or alone where there is none."""
        if self.picture is None or self.placed_mask is None or self.to_picture is None:
            return drawn
        return paste(drawn, self.picture, self.placed_mask, self.to_picture)


class Pipeline:
    """Holds weights and settings only: calls may mix sources and sessions freely.

    Networks may be folded (``fold.fold``) and of any width; S and everything about keypoints stay float32.
    """

    def __init__(self, networks: Networks, settings: Settings | None = None, cache: SourceCache | None = None) -> None:
        """``cache``: where to keep what F and M say of sources."""
        self.networks = networks
        self.settings = settings or Settings()
        self._look = networks.look if cache is None else cache.look

    def source(self, picture: Picture, landmarks: Points) -> Source:
        """Cut out, look at and encode a face: F and M once each.

        Args:
            picture: RGB (h, w, 3).
            landmarks: 203 (203, 2) in its pixels.
        """
        crop = cut(picture, source_square(landmarks))
        return self.source_of_crop(crop.network_input(), landmarks, (picture, crop))

    @torch.inference_mode()
    def source_of_crop(
        self, face: Picture, landmarks: Points | None = None, place: tuple[Picture, FaceCrop] | None = None
    ) -> Source:
        """As ``source``, of a crop already made.

        Args:
            face: RGB, square, sides a multiple of 128; 256 as published.
            landmarks: 203, in any pixels; needed only to retarget eyes and lips.
            place: the picture and where in it the crop lies, to paste back.
        """
        volume, head = self._look(face)
        source = SourceFace.of(head, landmarks)
        if place is None or not self.settings.pasteback:
            return Source(source, volume)
        picture, crop = place
        height, width = picture.shape[:2]
        placed = place_mask(paste_mask(len(crop.picture)), crop.to_picture, (width, height))
        return Source(source, volume, picture, crop.to_picture, placed)

    @torch.inference_mode()
    def heads(self, faces: Picture) -> Head:
        """M on face crops, RGB (n, side, side, 3)."""
        batches = [to_input(faces[i : i + _MOTION_BATCH]) for i in range(0, len(faces), _MOTION_BATCH)]
        return Head.cat([self.networks.motion(batch) for batch in batches])

    def template(self, faces: Picture, fps: float, landmarks: Points | None = None) -> MotionTemplate:
        """The motion of a clip: M once a frame.

        Args:
            faces: RGB crops (n, side, side, 3).
            fps: of the clip.
            landmarks: 203 of every frame (n, 203, 2).
        """
        heads = self.heads(faces)
        eyes, lips = (None, None) if landmarks is None else (eye_ratios(landmarks), lip_ratios(landmarks))
        return MotionTemplate.of_heads(heads, fps, eyes, lips)

    @torch.inference_mode()
    def draw(self, source: Source, x: Tensor) -> Picture:
        """The source's crop with its keypoints at ``x`` (1, 21, 3): (512, 512, 3) RGB."""
        warped = self.networks.warping(source.volume, source.face.x, x)
        drawn: Picture = to_pictures(self.networks.generator(warped))[0]
        return drawn

    def driver(self, source: Source, template: MotionTemplate) -> Driver:
        """Keypoints of a source for the frames of a template."""
        still = len(template) == 1
        return Driver(source.face, template.motion[0], self.settings, self.networks.retargeting, still)

    def animate(self, source: Source, template: MotionTemplate) -> Iterator[Picture]:
        """Every frame of a template on a source picture, pasted back where the source has a place."""
        driver = self.driver(source, template)
        for frame in template.frames():
            yield source.pasted(self.draw(source, driver.step(frame)))

    def video_driver(self, sources: Sequence[Source], template: MotionTemplate) -> VideoDriver:
        """Keypoints of a source video for the frames of a template."""
        faces = [source.face for source in sources]
        return VideoDriver(faces, template.motion, self.settings, self.networks.retargeting)

    def animate_video(self, sources: Sequence[Source], template: MotionTemplate) -> Iterator[Picture]:
        """A template on a source video, frame by frame; a template of one frame holds throughout."""
        driver = self.video_driver(sources, template)
        for index, source in zip(range(len(driver)), sources, strict=False):
            frame: DrivingFrame = template.frame(min(index, len(template) - 1))
            yield source.pasted(self.draw(source, driver.step(index, frame)))
