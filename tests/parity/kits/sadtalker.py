"""Sound to coefficients, coefficients to keypoints, renderer, reconstruction, face model, alignment, whole chain."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.sadtalker import alignment, coefficients, face_model, speech
from models.sadtalker.animation import Animator
from models.sadtalker.dense_motion import DenseMotion
from models.sadtalker.expression import ExpressionNetwork
from models.sadtalker.geometry import Camera, posed_keypoints, relative_keypoints, rotation
from models.sadtalker.head_pose import HeadPoseEstimator
from models.sadtalker.keypoints import KeypointDetector
from models.sadtalker.mapping import HeadPose, MappingNetwork, degrees
from models.sadtalker.pose import PoseNetwork
from models.sadtalker.reconstruction import ReconstructionNetwork
from models.sadtalker.renderer import Renderer
from models.sadtalker.resize import scaled_picture
from models.sadtalker.talk import Talk, speak
from tests.parity.goldens import GoldenFile, GoldenFolder
from tests.parity.inputs import image, u01, uin
from tests.parity.listener import Listener

EXACT = 1e-5
KEYPOINTS = 5e-5
RECONSTRUCTION = 2e-5
POSE_PARTS = ("yaw", "pitch", "roll", "t", "exp")
ANGLES = ("yaw", "pitch", "roll")
NARROW = 0.125


def run(goldens: GoldenFolder) -> None:
    checks: dict[str, Callable[[GoldenFolder, GoldenFile], None]] = {
        "golden_align": check_alignment,
        "golden_animation": check_animation,
        "golden_audio2coeff": check_speech,
        "golden_audio2exp": check_expression,
        "golden_audio2pose": check_pose,
        "golden_bfm_math": check_face_model,
        "golden_face_3drecon": check_reconstruction,
        "golden_generator": check_renderer,
        "golden_he_estimator": check_head_pose,
        "golden_headpose": check_geometry,
        "golden_kp_extractor": check_keypoints,
        "golden_mapping": check_mapping,
        "golden_narrow": check_narrow,
    }
    for stem in goldens.files():
        if stem not in checks:
            goldens.report.fail(stem, "is not a golden this kit knows")
            continue
        file = goldens.open(stem)
        checks[stem](goldens, file)
        file.close()


def _module(goldens: GoldenFolder, name: str) -> nn.Module:
    factories: dict[str, Callable[[], nn.Module]] = {
        "audio2exp": ExpressionNetwork,
        "audio2pose": PoseNetwork,
        "face_3drecon": ReconstructionNetwork,
        "generator": Renderer,
        "he_estimator": HeadPoseEstimator,
        "kp_extractor": KeypointDetector,
        "mapping_00109": lambda: MappingNetwork(73),
        "mapping_00229": lambda: MappingNetwork(70),
    }
    return goldens.load(factories[name](), goldens.manifest["modules"][name]["entries"])


def _narrow(goldens: GoldenFolder, network: nn.Module) -> nn.Module:
    """Weights for a network that is narrower than the published one."""
    return goldens.load(network, [[key, list(t.shape), str(t.dtype)] for key, t in network.state_dict().items()])


def _parts(pose: HeadPose) -> dict[str, Tensor]:
    return dict(zip(POSE_PARTS, (pose.yaw, pose.pitch, pose.roll, pose.translation, pose.expression), strict=True))


def _check_inner(file: GoldenFile, outputs: dict[str, Tensor], tolerance: float) -> None:
    for name, output in outputs.items():
        file.check_stats(name, output, tolerance)


def _check_with_mean(file: GoldenFile, name: str, actual: Tensor, most: float, mean: float, step: object) -> None:
    """Compare by the largest error, which random weights amplify, and by the mean error, which they do not."""
    expected = file.input(name)
    file.check(name, actual, most, step=step)
    error = np.abs(actual.numpy()[step] - expected).mean() / np.abs(expected).max()
    file.note(f"{name} (mean)", float(error), mean)


@torch.no_grad()
def check_expression(goldens: GoldenFolder, file: GoldenFile) -> None:
    network, seed = _module(goldens, "audio2exp"), goldens.seed
    mel = 2 * uin("a2e_mel", (2, 10, 1, 80, 16), seed)
    reference, blinks = 0.5 * uin("a2e_ref", (2, 10, 64), seed), u01("a2e_ratio", (2, 10, 1), seed)
    with Listener({"act_audio_encoder": network.audio_encoder}) as outputs:
        expression = network(mel.flatten(0, 1), reference.flatten(0, 1), blinks.flatten(0, 1))
    file.check("mel_head", mel.flatten()[:16])
    file.check("exp", expression.view(2, 10, 64), EXACT)
    _check_inner(file, outputs, EXACT)


@torch.no_grad()
def check_pose(goldens: GoldenFolder, file: GoldenFile) -> None:
    network, seed = _module(goldens, "audio2pose"), goldens.seed
    decoder, encoder = network.netG.decoder, network.netG.encoder
    inner = {
        "act_audio_encoder": network.audio_encoder,
        "act_decoder_mlp": decoder.MLP,
        "act_decoder_unet": decoder.resunet,
    }
    with Listener(inner) as outputs:
        for frames, style in ((75, 0), (20, 17), (33, 45)):
            reference = 0.3 * uin(f"a2p_ref{frames}", (1, 1, 70), seed)[0, 0, -6:]
            mel = 2 * uin(f"a2p_mel{frames}", (1, frames, 1, 80, 16), seed)[0]
            latents = [uin(f"a2p_z{frames}_{i}", (1, 64), seed)[0] for i in range(3)]
            motion = network.motion(mel, reference, style, latents.__getitem__)[None]
            file.check(f"pose_motion_{frames}", motion, EXACT)
            file.check(f"pose_{frames}", motion + reference, EXACT)
            file.check(f"z_{frames}_head", latents[0][:8])
    _check_inner(file, outputs, EXACT)
    motion, reference = 0.2 * uin("a2p_gt", (2, 32, 6), seed), 0.3 * uin("a2p_er", (2, 6), seed)
    mean, log_variance = encoder(motion, reference, u01("a2p_emb", (2, 32, 512), seed), torch.tensor([3, 44]))
    file.check("enc_mu", mean, EXACT)
    file.check("enc_logvar", log_variance, EXACT)
    file.check("netD_motion", network.netD_motion(motion), EXACT)


@torch.no_grad()
def check_mapping(goldens: GoldenFolder, file: GoldenFile) -> None:
    for name, inputs in (("mapping_00229", 70), ("mapping_00109", 73)):
        pose = _module(goldens, name)(0.5 * uin(f"map_{inputs}", (2, inputs, 27), goldens.seed))
        for part, value in _parts(pose).items():
            file.check(f"{name}_{part}", value, EXACT)


@torch.no_grad()
def check_keypoints(goldens: GoldenFolder, file: GoldenFile) -> None:
    network = _module(goldens, "kp_extractor")
    predictor = network.predictor
    picture = image("face", 2, 256, goldens.seed)
    file.check("image_head", picture.flatten()[:16])
    file.check_stats("image", picture, absolute=1e-12)
    file.check("kp_256", network(picture), KEYPOINTS)
    inner = {
        "act_down": network.down,
        "act_down_blocks": predictor.down_blocks,
        "act_up_blocks": predictor.up_blocks,
        "act_kp": network.kp,
    }
    with Listener(inner) as outputs:
        file.check("kp_512", network(image("face512", 1, 512, goldens.seed)), KEYPOINTS)
    _check_inner(file, outputs, KEYPOINTS)


@torch.no_grad()
def check_head_pose(goldens: GoldenFolder, file: GoldenFile) -> None:
    network = _module(goldens, "he_estimator")
    with Listener({f"act_block{i}": network.get_submodule(f"block{i}") for i in (1, 3, 5, 7)}) as outputs:
        pose = network(image("face", 2, 256, goldens.seed))
    for part, value in _parts(pose).items():
        file.check(part, value, EXACT)
    _check_inner(file, outputs, EXACT)


@torch.no_grad()
def check_geometry(goldens: GoldenFolder, file: GoldenFile) -> None:
    seed = goldens.seed
    yaw, pitch, roll = (2.5 * uin(f"kt_{angle}", (2, 66), seed) for angle in ANGLES)
    pose = HeadPose(yaw, pitch, roll, 0.1 * uin("kt_t", (2, 3), seed), 0.1 * uin("kt_exp", (2, 45), seed))
    canonical = 0.5 * uin("kt_kp", (2, 15, 3), seed)
    for angle, logits in zip(ANGLES, (yaw, pitch, roll), strict=True):
        file.check(f"deg_{angle}", degrees(logits), EXACT)
    given = [torch.from_numpy(row) for row in file.input("angles_deg_yaw_pitch_roll")]
    file.check("rot", rotation(*given), EXACT)
    file.check("kp_out", posed_keypoints(canonical, pose), EXACT)
    file.check("kp_out_wo_exp", posed_keypoints(canonical, pose, with_expression=False), EXACT)
    file.check("kp_out_given_angles", posed_keypoints(canonical, pose, Camera(*given)), EXACT)
    driving, first, source = (0.5 * uin(name, (1, 15, 3), seed) for name in ("nk_d", "nk_d0", "nk_s"))
    file.check("normalize_rel", relative_keypoints(source, driving, first), EXACT)


@torch.no_grad()
def check_renderer(goldens: GoldenFolder, file: GoldenFile) -> None:
    network, seed = _module(goldens, "generator"), goldens.seed
    source, driving = (0.45 * uin(name, (1, 15, 3), seed) for name in ("g_ks", "g_kd"))
    if "prediction" in file:
        _check_256(file, network, image("face", 2, 256, seed)[:1], source, driving)
    if "prediction_128" in file:
        small = network(image("g128", 2, 128, seed), torch.cat((source, source)), torch.cat((driving, source)))
        _check_with_mean(file, "prediction_128", small.picture, 2e-3, EXACT, np.s_[..., ::2, ::2])


def _check_256(file: GoldenFile, network: nn.Module, picture: Tensor, source: Tensor, driving: Tensor) -> None:
    drawn = network(picture, source, driving)
    motion: DenseMotion = drawn.motion
    _check_with_mean(file, "prediction", drawn.picture, 2e-3, EXACT, np.s_[:, :, 1::3, ::3])
    _check_with_mean(file, "prediction_patch", drawn.picture[0], 2e-3, EXACT, np.s_[:, 96:128, 96:128])
    _check_with_mean(file, "mask", motion.mask, 2e-3, EXACT, np.s_[..., ::4, ::8, ::8])
    _check_with_mean(file, "occlusion_map", motion.occlusion, 2e-3, EXACT, np.s_[...])
    _check_with_mean(file, "deformation", motion.deformation, 2e-3, EXACT, np.s_[:, ::4, ::4, ::4])
    decoder, dense = network.decoder, network.dense_motion_network
    inner = {
        "act_first": network.first,
        "act_down_blocks_1": network.down_blocks[1],
        "act_second": network.second,
        "act_resblocks_3d": network.resblocks_3d,
        "act_dm_hourglass": dense.hourglass,
        "act_dm_mask_logits": dense.mask,
        "act_third": network.third,
        "act_fourth": network.fourth,
        "act_fc": decoder.fc,
        "act_conv_img": decoder.conv_img,
    }
    blocks = [f"G_middle_{i}" for i in range(6)] + ["up_0", "up_1"]
    with Listener(inner | {f"act_{name}": decoder.get_submodule(name) for name in blocks}) as outputs:
        network(picture, source, source)
    _check_inner(file, outputs, 2e-3)


@torch.no_grad()
def check_reconstruction(goldens: GoldenFolder, file: GoldenFile) -> None:
    network = _module(goldens, "face_3drecon")
    inner = {f"act_layer{i}": network.backbone.get_submodule(f"layer{i}") for i in range(1, 5)}
    with Listener(inner | {"act_avgpool": network.backbone.avgpool}) as outputs:
        file.check("coeffs257", network(image("recon", 2, 224, goldens.seed)), RECONSTRUCTION)
    _check_inner(file, outputs, RECONSTRUCTION)


def check_face_model(goldens: GoldenFolder, file: GoldenFile) -> None:
    seed = goldens.seed
    indices = {name: file.input(name) for name in ("tri", "point_buf", "keypoints")}
    size = 3 * len(indices["point_buf"])
    arrays = {
        "meanshape": 0.6 * uin("bfm_ms", (1, size), seed),
        "meantex": 128 + 40 * uin("bfm_mt", (1, size), seed),
        "idBase": 0.05 * uin("bfm_id", (size, 80), seed),
        "exBase": 0.05 * uin("bfm_ex", (size, 64), seed),
        "texBase": 2 * uin("bfm_tx", (size, 80), seed),
    }
    model = face_model.FaceModel.from_arrays({name: array.numpy() for name, array in arrays.items()} | indices)
    face = coefficients.FaceCoefficients.split((0.4 * uin("bfm_coeff", (2, 257), seed)).numpy())
    shape, albedo = model.shape(face), model.albedo(face)
    rotation_matrix = face_model.rotations(face.angles)
    camera = face_model.to_camera(face_model.posed(shape, face))
    normals = model.normals(shape)
    file.check("shape3d", shape, EXACT)
    file.check("texture", albedo, EXACT)
    file.check("rotation", rotation_matrix, EXACT)
    file.check("vertex", camera, EXACT)
    file.check("vertex_worot", face_model.to_camera(shape), EXACT)
    file.check("landmarks", model.landmarks(camera), EXACT)
    file.check("normals", normals, EXACT)
    file.check("color", face_model.lit(albedo, normals @ rotation_matrix, face.light), EXACT)


def check_alignment(goldens: GoldenFolder, file: GoldenFile) -> None:
    picture = (image("align", 1, 256, goldens.seed)[0].permute(1, 2, 0) * 255).numpy().astype(np.uint8)
    landmarks = file.input("lm68_y_up")
    file.input("lm3d_all_shape")
    height, width = picture.shape[:2]
    fit = alignment.Alignment.of(landmarks, width, height)
    aligned = fit.picture(picture)
    file.check("lm3d_std_5x3", alignment.STANDARD_FIVE, 1e-7)
    file.check("trans_params_W_H_s_tx_ty", np.array([fit.width, fit.height, fit.scale, fit.x, fit.y]), EXACT)
    file.check("lm_aligned", fit.landmarks(landmarks), EXACT)
    file.check_picture("im224_strided", aligned[::4, ::4])
    file.check_stats("im224", aligned, EXACT)
    for i in itertools.count():
        if f"crop{i}_wh" not in file:
            break
        crop = alignment.FaceCrop.of(file.input(f"crop{i}_lm68"), *(int(n) for n in file.input(f"crop{i}_wh")))
        file.check_exact(f"crop{i}_rsize", np.array(crop.shrunk))
        file.check_exact(f"crop{i}_crop", np.array(crop.cut))
        file.check(f"crop{i}_quad", np.array(crop.head), EXACT)


def _recording(goldens: GoldenFolder) -> np.ndarray:
    """The sound of the chain's goldens: embedded in the other kit's, since it is others'."""
    path = goldens.folder.parent / "wav2lip" / "golden_mel.npz"
    if not path.is_file():
        path = Path(__file__).parents[4] / "shared" / "parity" / "wav2lip" / "golden_mel.npz"
    with np.load(path) as arrays:
        pcm = arrays["pcm16"][:47000]
    return (pcm.astype(np.float32) / np.float32(32768)).reshape(len(pcm), -1).mean(axis=1, dtype=np.float32)


def _first(goldens: GoldenFolder) -> np.ndarray:
    return (0.3 * uin("coeff_first", (1, 73), goldens.seed)).numpy()[0]


def _spoken(goldens: GoldenFolder, blinks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    latents = [uin(f"e2e_z{i}", (1, 64), goldens.seed)[0] for i in range(3)]
    mels = speech.mel_windows(_recording(goldens))
    talk = Talk(_module(goldens, "audio2exp"), _module(goldens, "audio2pose"))
    return mels, speak(talk, mels, _first(goldens), blinks, style=0, noise=latents.__getitem__)


def _source_picture(goldens: GoldenFolder) -> np.ndarray:
    picture = (image("src", 1, 256, goldens.seed)[0].permute(1, 2, 0) * 255).numpy().astype(np.uint8)
    return scaled_picture(picture, 256, 256)


def check_speech(goldens: GoldenFolder, file: GoldenFile) -> None:
    first, frames = _first(goldens), int(file.input("num_frames"))
    blinks = speech.random_blinks(frames, random.Random(int(file.input("ratio_python_random_seed"))))
    mels, spoken = _spoken(goldens, blinks)
    file.check_exact("num_frames", np.array(len(mels)))
    file.check("ratio", blinks[None, :, None], EXACT)
    file.check("ref", np.repeat(first[None, None, :70], frames, axis=1), EXACT, step=np.s_[:, :2])
    file.check("indiv_mels", mels[None], EXACT, step=np.s_[:, [0, 1, 2, 3, 10, -2, -1], :, ::4])
    file.check_exact("mel_index_first_frame_0_to_9", speech.window_starts(10))
    for name in file.names("blink_random_"):
        file.check(name, speech.random_blinks(int(name.rsplit("_", 1)[1]), random.Random(101)), EXACT)
    for name in file.names("blink_fixed_"):
        file.check(name, speech.steady_blinks(int(name.rsplit("_", 1)[1])), EXACT)
    file.check("coeff_pred", spoken, EXACT)
    order = coefficients.batch_frames(frames, 2)
    file.check("crop_yaw_c_seq", coefficients.camera_path((0, 20, -10), frames)[order], EXACT)
    picture = np.repeat(_source_picture(goldens)[None], 2, axis=0)
    for mode, full, still, scale in (("crop", 0, 0, 1.0), ("full", 1, 0, 1.2), ("still", 0, 1, 1.0)):
        driven = coefficients.driven(spoken, first, full=bool(full), still=bool(still), expression_scale=scale)
        seen = coefficients.windows(driven, order.ravel()).reshape(*order.shape, -1, 27)
        own = np.repeat(coefficients.source_window(first, full=bool(full))[None], 2, axis=0)
        file.check(f"{mode}_target_semantics", seen, EXACT, step=np.s_[:, ::9, :, ::4])
        file.check(f"{mode}_source_semantics", own, EXACT, step=np.s_[:1, :, :2])
        file.check(f"{mode}_source_image", picture, EXACT, step=np.s_[:1, :, ::16, ::16])


def check_animation(goldens: GoldenFolder, file: GoldenFile) -> None:
    first = _first(goldens)
    frames = speech.frame_count(len(_recording(goldens)))
    # The chain's seed of blinks is fixed, see the kit's notes.
    _, spoken = _spoken(goldens, speech.random_blinks(frames, random.Random(1)))
    driven = torch.from_numpy(
        coefficients.windows(coefficients.driven(spoken, first, full=False, still=False), [5, 20])
    )
    animator = Animator(*(_module(goldens, name) for name in ("kp_extractor", "mapping_00229", "generator")))
    own = torch.from_numpy(coefficients.source_window(first, full=False))
    source = animator.source(torch.from_numpy(_source_picture(goldens)), own)
    drawn = torch.cat([animator.frames(source, driven[i : i + 1]) for i in range(2)])[None]
    _check_with_mean(file, "frames", drawn, 2e-2, 1e-4, np.s_[..., 1::4, ::4])
    yaw = coefficients.camera_path((0, 20, -10), frames)[5:6]
    file.check("yaw_used_deg", yaw[None], EXACT)
    turned = animator.frames(source, driven[:1], Camera(yaw_deg=torch.from_numpy(yaw)))[None]
    _check_with_mean(file, "frame_given_yaw", turned, 2e-2, 1e-4, np.s_[..., 1::4, ::4])


@torch.no_grad()
def check_narrow(goldens: GoldenFolder, file: GoldenFile) -> None:
    """Keypoints and renderer at an eighth of the width: our own numbers, of the code that met the full goldens.

    The full ones take a minute; these show within a second that nothing has moved since.
    """
    seed = goldens.seed
    detector, renderer = _narrow(goldens, KeypointDetector(NARROW)), _narrow(goldens, Renderer(NARROW))
    picture = image("g128", 2, 128, seed)[:1]
    source, driving = (0.45 * uin(name, (1, 15, 3), seed) for name in ("g_ks", "g_kd"))
    drawn = renderer(picture, source, driving)
    file.check("keypoints", detector(picture), KEYPOINTS)
    file.check("picture", drawn.picture, 2e-3, step=np.s_[..., ::2, ::2])
    file.check("mask", drawn.motion.mask, 2e-3, step=np.s_[..., ::4, ::4, ::4])
    file.check("deformation", drawn.motion.deformation, 2e-3, step=np.s_[:, ::4, ::4, ::4])
    file.check("occlusion", drawn.motion.occlusion, 2e-3)
