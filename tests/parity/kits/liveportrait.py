"""F, M, W, G and S, geometry, crops, smoothing, the pipeline's flags, and a whole step from picture to picture."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.liveportrait import crop, driving, keypoints, landmarks
from models.liveportrait.appearance import AppearanceExtractor
from models.liveportrait.generator import SpadeGenerator
from models.liveportrait.keypoints import Head, Motion
from models.liveportrait.motion_extractor import MotionExtractor
from models.liveportrait.pipeline import Pipeline
from models.liveportrait.pixels import to_input, to_pictures
from models.liveportrait.ranges import MotionRanges, motion_ranges
from models.liveportrait.retargeting import Retargeting
from models.liveportrait.settings import Settings
from models.liveportrait.smoothing import smooth
from models.liveportrait.template import MotionTemplate
from models.liveportrait.warping import WarpingModule, coordinate_grid, gaussians
from models.liveportrait.weights import Networks, retargeting_state
from tests.parity.fill import fill, unit
from tests.parity.goldens import GoldenFile, GoldenFolder
from tests.parity.listener import Listener

GEOMETRY = RETARGETING = 1e-5
APPEARANCE, MOTION_HEADS, MOTION_STAGES = 1e-4, 1e-4, 1e-3
DENSE_MOTION, WARPED, PICTURE = 2e-4, 5e-4, 1e-4
KEYPOINTS, STEP, SMOOTH = 2e-5, 2e-3, 1e-6
CROP_PX, ANGLE_RAD = 1e-3, 1e-5
DRAWN_STEPS, PASTED_STEPS = 1, 2


class Kit:
    """A folder's goldens, and the networks filled for its seed, each made when it is first asked for."""

    def __init__(self, goldens: GoldenFolder) -> None:
        self.goldens = goldens
        self._heads: dict[bytes, Head] = {}

    def array(self, stem: str, name: str) -> np.ndarray:
        """An input that another file holds."""
        with np.load(self.goldens.folder / f"{stem}.npz") as arrays:
            return arrays[name]

    def _filled(self, file: str, module: nn.Module) -> Any:
        path = f"liveportrait/base_models/{file}.pth"
        state = fill(self.goldens.manifest["files"][path]["entries"], self.goldens.seed)
        for key, added in self.goldens.manifest["golden_add"].get(path, {}).items():
            state[key] += added
        self._check_fill(path, state)
        module.load_state_dict(state, strict=True)
        return module.eval().requires_grad_(False)

    def _check_fill(self, path: str, state: dict[str, Tensor]) -> None:
        """The manifest tells what the bytes of the weights should be for the seed it was made with."""
        manifest = self.goldens.manifest
        if self.goldens.seed != manifest["seed_here"]:
            return
        digest = hashlib.sha256()
        for tensor in state.values():
            digest.update(tensor.numpy().tobytes())
        if digest.hexdigest() != manifest["fill_check"][path]:
            self.goldens.report.fail(path, "was not filled with the weights the goldens were made with")

    @cached_property
    def appearance(self) -> AppearanceExtractor:
        return self._filled("appearance_feature_extractor", AppearanceExtractor())

    @cached_property
    def motion(self) -> MotionExtractor:
        return self._filled("motion_extractor", MotionExtractor())

    @cached_property
    def warping(self) -> WarpingModule:
        return self._filled("warping_module", WarpingModule())

    @cached_property
    def generator(self) -> SpadeGenerator:
        return self._filled("spade_generator", SpadeGenerator())

    @cached_property
    def retargeting(self) -> Retargeting:
        path = "liveportrait/retargeting_models/stitching_retargeting_module.pth"
        published = {}
        for name, part in self.goldens.manifest["files"][path]["sub"].items():
            entries = [[f"{name}.{key}", *rest] for key, *rest in part["entries"]]
            state = {key.removeprefix(f"{name}."): t for key, t in fill(entries, self.goldens.seed).items()}
            self._check_fill(f"{path}#{name}", state)
            published[name] = {f"module.{key}": tensor for key, tensor in state.items()}
        module = Retargeting()
        module.load_state_dict(retargeting_state(published), strict=True)
        return module.eval().requires_grad_(False)

    def head(self, face: np.ndarray) -> Head:
        """M on one face crop; many cases ask for the same."""
        key = face.tobytes()
        if key not in self._heads:
            self._heads[key] = self.motion(to_input(face[None]))
        return self._heads[key]

    def pipeline(self, settings: Settings) -> Pipeline:
        networks = (self.appearance, self.motion, self.warping, self.generator, self.retargeting)
        return Pipeline(Networks(*networks), settings)


def run(goldens: GoldenFolder) -> None:
    kit = Kit(goldens)
    checks: dict[str, Callable[[Kit, GoldenFile], None]] = {
        "F": check_appearance,
        "G": check_generator,
        "M": check_motion,
        "S": check_retargeting,
        "W": check_warping,
        "crop": check_crop,
        "geometry": check_geometry,
        "lip_array": check_lip_array,
        "pipeline": check_pipeline,
        "smooth": check_smooth,
        "step": check_step,
        "template_stats": check_ranges,
    }
    for stem in goldens.files():
        if stem not in checks:
            goldens.report.fail(stem, "is not a golden this kit knows")
            continue
        file = goldens.open(stem)
        with torch.inference_mode():
            checks[stem](kit, file)
        file.close()


def check_appearance(kit: Kit, file: GoldenFile) -> None:
    f = kit.appearance
    inner = {"second": f.second, "res0": f.resblocks_3d[0]}
    activated = {"first": f.first, "down0": f.down_blocks[0], "down1": f.down_blocks[1]}
    with Listener(inner | activated) as outputs:
        volume = f(to_input(file.input("source_u8")[None]))
    for name in activated:
        outputs[name] = torch.relu(outputs[name])
        if name != "first":
            outputs[name] = nn.functional.avg_pool2d(outputs[name], 2)
    for name, output in outputs.items():
        file.check_strided(name, output, APPEARANCE)
    file.check_strided("f_s", volume, APPEARANCE)
    channels = volume[0].flatten(1).double()
    file.check("f_s_channel_mean", channels.mean(dim=1), absolute=APPEARANCE)
    file.check("f_s_channel_std", channels.std(dim=1, correction=0), absolute=APPEARANCE)


def check_motion(kit: Kit, file: GoldenFile) -> None:
    pictures = np.concatenate((kit.array("F", "source_u8")[None], file.input("driving_u8")))
    detector = kit.motion.detector
    stages = {f"stage{i}": stage for i, stage in enumerate(detector.stages)}
    inner = {"stem": detector.downsample_layers[0], "block00": detector.stages[0][0], "pooled": detector.norm}
    with Listener(inner | stages) as outputs:
        raw = kit.motion.heads(to_input(pictures))
    pooled = outputs.pop("pooled")
    for name, output in outputs.items():
        file.check_strided(name, output, MOTION_STAGES)
    file.check("pooled", pooled, absolute=MOTION_STAGES)
    for name, output in raw.items():
        file.check(f"raw_{name}", output, absolute=MOTION_HEADS)
    for name in ("pitch", "yaw", "roll"):
        file.check(f"deg_{name}", keypoints.bins_to_degrees(raw[name]), absolute=MOTION_HEADS)
    heads = kit.motion(to_input(pictures))
    file.check("R", heads.rotation, absolute=MOTION_HEADS)
    file.check("x", heads.keypoints(), absolute=MOTION_HEADS)


def check_warping(kit: Kit, file: GoldenFile) -> None:
    w, seed = kit.warping, kit.goldens.seed
    volume = unit("golden/W/feature_3d", 32 * 16 * 64 * 64, seed).reshape(1, 32, 16, 64, 64)
    feature = torch.from_numpy(volume.astype(np.float32))
    source, driven = (torch.from_numpy(file.input(name)) for name in ("kp_source", "kp_driving"))
    dense = w.dense_motion_network
    inner = {"compress_bn": dense.norm, "hourglass": dense.hourglass, "mask": dense.mask, "third": w.third}
    with Listener(inner | {"fourth": w.fourth}) as outputs:
        motion = dense(feature, driven, source)
        outputs["out"] = w.project(feature, motion)
    grid = coordinate_grid((16, 64, 64), feature.device, feature.dtype)
    motions = dense.sparse_motions(grid, driven, source)
    outputs["hourglass_in"] = dense.evidence(feature, motions, grid, driven, source)
    outputs["hourglass_in_ch1"] = outputs["hourglass_in"][:, 1:]
    outputs["mask"] = outputs["mask"].softmax(dim=1)
    outputs["third"] = nn.functional.leaky_relu(outputs["third"], 0.01)
    tolerances = {"mask": DENSE_MOTION}
    for name, output in outputs.items():
        file.check_strided(name, output, tolerances.get(name, WARPED))
    file.check("occlusion_map", motion.occlusion, absolute=DENSE_MOTION)
    file.check_strided("deformation", motion.deformation, DENSE_MOTION)


def check_generator(kit: Kit, file: GoldenFile) -> None:
    g, seed = kit.generator, kit.goldens.seed
    feature = unit("golden/G/feature", 256 * 64 * 64, seed).reshape(1, 256, 64, 64).astype(np.float32)
    block = g.G_middle_0
    inner = {"fc": g.fc, "mid0_norm0": block.norm_0, "mid0_conv0": block.conv_0, "mid0": block}
    inner |= {"mid5": g.G_middle_5, "up_0": g.up_0, "up_1": g.up_1, "conv_img": g.conv_img}
    with Listener(inner) as outputs:
        outputs["image"] = g(torch.from_numpy(feature))
    for name, output in outputs.items():
        file.check_strided(name, output, PICTURE)


def check_retargeting(kit: Kit, file: GoldenFile) -> None:
    s = kit.retargeting
    names = ("kp_source", "kp_driving", "eye_ratio", "lip_ratio")
    source, driven, eyes, lips = (torch.from_numpy(file.input(name)) for name in names)
    file.check("stitch_raw", s.stitching(torch.cat((source.flatten(1), driven.flatten(1)), 1)), absolute=RETARGETING)
    file.check("stitching", s.stitch(source, driven), absolute=RETARGETING)
    file.check("eye_delta", s.eye_offset(source, eyes), absolute=RETARGETING)
    file.check("lip_delta", s.lip_offset(source, lips), absolute=RETARGETING)
    points = file.input("lmk203")
    eye_close, lip_close = landmarks.eye_ratios(points), landmarks.lip_ratios(points)
    file.check("eye_close", eye_close, absolute=RETARGETING)
    file.check("lip_close", lip_close, absolute=RETARGETING)
    # What the driving clip asked for is the last entry; the first are the source's own.
    for name, own in (("combined_eye", eye_close), ("combined_lip", lip_close)):
        asked = file.input(name)[:, -1:]
        file.check(name, np.concatenate((own[:1], asked), axis=1), absolute=RETARGETING)


def check_geometry(_kit: Kit, file: GoldenFile) -> None:
    def tensor(name: str) -> Tensor:
        return torch.from_numpy(file.input(name))

    file.check("R", keypoints.rotation_matrix(tensor("angles_deg")), absolute=GEOMETRY)
    file.check("degree", keypoints.bins_to_degrees(tensor("logits66"))[:, 0], absolute=GEOMETRY * 90)
    file.check("passthrough_out", keypoints.bins_to_degrees(tensor("passthrough_in")), absolute=0)
    angles = torch.cat([keypoints.bins_to_degrees(tensor(f"tk_{name}")) for name in ("pitch", "yaw", "roll")], 1)
    kp, exp = (tensor(f"tk_{name}").unflatten(1, (21, 3)) for name in ("kp", "exp"))
    motion = Motion(tensor("tk_scale"), keypoints.rotation_matrix(angles), exp, tensor("tk_t"))
    file.check("tk_x", keypoints.keypoints(kp, motion), absolute=GEOMETRY)
    source, driven = tensor("mm_source"), tensor("mm_driving0")
    file.check("motion_multiplier", keypoints.motion_multiplier(source, driven), absolute=GEOMETRY)
    grid = coordinate_grid((16, 64, 64), torch.device("cpu"), torch.float32)
    file.check_strided("grid_16x64x64", grid, GEOMETRY)
    file.check_strided("gauss", gaussians(source, grid), GEOMETRY)


def check_crop(_kit: Kit, file: GoldenFile) -> None:
    photo, points = file.input("photo_u8"), file.input("lmk203")
    for count in (203, 106, 101, 68, 9, 5):
        for lips, name in ((True, "lip"), (False, "eyes")):
            square = crop.Square.about(file.input(f"pts{count}"), 2.3, 0.05, -0.125, with_lips=lips)
            rectangle = [*square.center, square.size_px, square.size_px, square.angle_rad]
            file.check(f"rect{count}_{name}", np.array(rectangle), absolute=CROP_PX)
    cut = crop.cut(photo, crop.source_square(points))
    file.check("M_o2c", cut.to_crop, absolute=CROP_PX)
    file.check("M_c2o", cut.to_picture, absolute=CROP_PX)
    file.check("pt_crop", crop.move_points(points, cut.to_crop), absolute=CROP_PX)
    file.check_steps("img_crop", cut.picture, DRAWN_STEPS)
    file.check_steps("img_crop_256", cut.network_input(), DRAWN_STEPS)
    # The published crop takes a shift to the side, and does nothing with it.
    file.check("norot_M_o2c_vx0.3", crop.source_square(points).matrix(turn=False), absolute=CROP_PX)
    one = crop.Square.about(points, 2.2, 0.0, -0.1)
    file.check("drv_center", one.center, absolute=CROP_PX)
    file.check("drv_size", np.array([one.size_px] * 2), absolute=CROP_PX)
    file.check("drv_angle", np.array(one.angle_rad), absolute=ANGLE_RAD)
    file.check("drv_bbox", one.corners(), absolute=CROP_PX)
    file.check("drv_bbox_rot", one.corners(turned=True), absolute=CROP_PX)
    drv = crop.cut(photo, crop.driving_square([points]), turn=False)
    file.check("drv_M_o2c", drv.to_crop, absolute=CROP_PX)
    file.check("drv_lmk_crop", crop.move_points(points, drv.to_crop), absolute=CROP_PX)
    file.check_steps("drv_crop", drv.picture, DRAWN_STEPS)
    size = (photo.shape[1], photo.shape[0])
    placed = crop.place_mask(test_mask(), cut.to_picture, size)
    file.check_strided("mask_ori", placed, 1.001 * DRAWN_STEPS / 255)
    pasted = crop.paste(file.input("paste_in_u8@1,1,1"), photo, placed, cut.to_picture)
    file.check_steps("pasted", pasted, PASTED_STEPS)


def test_mask() -> np.ndarray:
    """The goldens' own paste mask: a ramp of 51 pixels from every border."""
    ramp = np.minimum(np.arange(512), 511 - np.arange(512))
    edge = np.minimum(ramp[:, None], ramp[None])
    return np.repeat(np.floor(255 * np.clip(edge / 51, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def check_smooth(_kit: Kit, file: GoldenFile) -> None:
    sequence = file.input("seq")[:, 0]
    for name in file.names("smooth_obs"):
        file.check(name, smooth(sequence, float(name.removeprefix("smooth_obs"))), absolute=SMOOTH)


def check_lip_array(_kit: Kit, file: GoldenFile) -> None:
    file.check_exact("lip_array", driving.lip_array())


def check_ranges(_kit: Kit, file: GoldenFile) -> None:
    for field in fields(MotionRanges):
        file.check(field.name, getattr(motion_ranges(), field.name), absolute=0)


def check_pipeline(kit: Kit, file: GoldenFile) -> None:
    for name in ("driving_u8_is", "photo_is", "M_c2o"):
        file.input(name)
    heads = Head.cat([kit.head(face) for face in kit.array("M", "driving_u8")])
    points = file.input("driving_lmk203")
    template = MotionTemplate.of_heads(heads, 25, landmarks.eye_ratios(points), landmarks.lip_ratios(points))
    made = {"scale": heads.scale, "R": heads.rotation, "exp": heads.exp, "t": heads.t, "kp": heads.kp}
    made |= {"x_s": heads.keypoints(), "c_eyes": template.eyes, "c_lip": template.lips}
    for name, array in made.items():
        file.check(f"tpl_{name}", array[:, None], absolute=MOTION_HEADS)
    for case, flags in json.loads(str(file.input("cases_json"))).items():
        settings = settings_of(flags)
        played = template.still() if flags["driving"] == "first frame only" else template
        video = flags["source"].startswith("video")
        sources, drawn = (_video if video else _picture)(kit, settings, file, played)
        file.check(f"{case}/x_s", torch.cat(sources), absolute=KEYPOINTS)
        file.check(f"{case}/x_d", torch.cat(drawn), absolute=KEYPOINTS)


def settings_of(flags: dict[str, Any]) -> Settings:
    """The published names of flags, read as our settings."""
    known = {field.name for field in fields(Settings)}
    named = {name.removeprefix("flag_"): value for name, value in flags.items()}
    return Settings(**{name: value for name, value in named.items() if name in known})


def _picture(
    kit: Kit, settings: Settings, file: GoldenFile, template: MotionTemplate
) -> tuple[list[Tensor], list[Tensor]]:
    source = driving.SourceFace.of(kit.head(file.input("crop_256_u8")), file.input("source_lmk203"))
    still = len(template) == 1
    driver = driving.Driver(source, template.motion[0], settings, kit.retargeting, still)
    drawn = [driver.step(frame) for frame in template.frames()]
    return [source.x] * len(drawn), drawn


def _video(
    kit: Kit, settings: Settings, file: GoldenFile, template: MotionTemplate
) -> tuple[list[Tensor], list[Tensor]]:
    points = kit.array("crop", "lmk203")
    sources = []
    for i, picture in enumerate(file.input("video_crop256_u8")):
        square = crop.source_square(points + i)
        moved = crop.move_points(points + i, square.matrix()) / 2
        sources.append(driving.SourceFace.of(kit.head(picture), moved))
    driver = driving.VideoDriver(sources, template.motion, settings, kit.retargeting)
    frames = list(template.frames()) if len(template) > 1 else [template.frame(0)] * len(driver)
    return [source.x for source in sources], [driver.step(i, frames[i]) for i in range(len(driver))]


def check_step(kit: Kit, file: GoldenFile) -> None:
    pipeline = kit.pipeline(Settings())
    others = kit.goldens.open("pipeline")
    source = pipeline.source_of_crop(others.input("crop_256_u8"), others.input("source_lmk203"))
    template = pipeline.template(kit.array("M", "driving_u8"), 25, others.input("driving_lmk203"))
    driver = pipeline.driver(source, template)
    first, x = (driver.step(template.frame(i)) for i in range(2))
    file.check("x_s", source.face.x, absolute=KEYPOINTS)
    file.check("x_d", x, absolute=KEYPOINTS)
    file.check_strided("f_s", source.volume, APPEARANCE)
    w = kit.warping
    motion = w.dense_motion_network(source.volume, x, source.face.x)
    warped = w.project(source.volume, motion)
    file.check("occlusion_map", motion.occlusion, absolute=STEP)
    file.check_strided("deformation", motion.deformation, STEP)
    file.check_strided("warped", warped, STEP)
    image = kit.generator(warped)
    file.check_strided("image", image, STEP)
    file.check_strided("image_frame0", kit.generator(w(source.volume, source.face.x, first)), STEP)
    drawn = to_pictures(image)[0]
    file.check_steps("image_u8", drawn, DRAWN_STEPS)
    photo, to_picture = kit.array("crop", "photo_u8"), others.input("M_c2o")
    placed = crop.place_mask(test_mask(), to_picture, (photo.shape[1], photo.shape[0]))
    pasted = crop.paste(drawn, photo, placed, to_picture)
    file.check_steps("pasted_u8", pasted, PASTED_STEPS)
    file.check_strided("pasted", pasted, PASTED_STEPS)
