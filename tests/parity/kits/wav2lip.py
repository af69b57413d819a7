"""Generator, lip-sync expert, quality discriminator, losses and gradients, mel, chunks, crop and paste."""

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.mel import filter_bank, magnitudes, mel_spectrogram, pre_emphasis
from models.wav2lip import losses, pixels
from models.wav2lip.discriminator import QualityDiscriminator
from models.wav2lip.network import Generator
from models.wav2lip.syncnet import SyncNet
from models.wav2lip.windows import chunk_starts
from tests.parity.goldens import GoldenFile, GoldenFolder, Listener
from tests.parity.inputs import u01, uin

OUTPUTS = 2e-5
LOSSES = 1e-5
GRADIENTS = {"eval": 1e-3, "train": 1e-2}
MEL = 1e-5
# A convolution's bias in front of batch statistics has no gradient; what is left of it is rounding, and has
# no digits in common from one run to the next. Gradients under this are taken for zero.
GRADIENT_FLOOR = 1e-9


def run(goldens: GoldenFolder) -> None:
    checks: dict[str, Callable[[GoldenFolder, GoldenFile], None]] = {
        "golden_generator": check_generator,
        "golden_syncnet": check_syncnet,
        "golden_disc": check_discriminator,
        "golden_losses": check_losses,
        "golden_mel": check_mel,
        "golden_prepost": check_pixels,
    }
    for stem in goldens.files():
        if stem not in checks:
            goldens.report.fail(stem, "is not a golden this kit knows")
            continue
        file = goldens.open(stem)
        checks[stem](goldens, file)
        file.close()


def _module(goldens: GoldenFolder, name: str) -> nn.Module:
    factories = {
        "wav2lip_generator": Generator,
        "syncnet_color": SyncNet,
        "wav2lip_disc_qual": QualityDiscriminator,
    }
    return goldens.load(factories[name](), goldens.manifest["modules"][name]["entries"])


def _faces(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    faces = u01(name, shape, seed)
    faces[:, :3, ..., 48:, :] = 0
    return faces


def _batch5(seed: int) -> tuple[Tensor, Tensor]:
    return 2 * uin("w2l_mel5", (2, 5, 1, 80, 16), seed), _faces("w2l_face5", (2, 6, 5, 96, 96), seed)


@torch.no_grad()
def check_generator(goldens: GoldenFolder, file: GoldenFile) -> None:
    generator, seed = _module(goldens, "wav2lip_generator"), goldens.seed
    mel = 2 * uin("w2l_mel", (2, 1, 80, 16), seed)
    face = _faces("w2l_face", (2, 6, 96, 96), seed)
    inner = {f"act_enc{i}": block for i, block in enumerate(generator.face_encoder_blocks)}
    inner |= {f"act_dec{i}": block for i, block in enumerate(generator.face_decoder_blocks)}
    inner |= {"act_audio": generator.audio_encoder, "act_logit": generator.output_block[1]}
    with Listener(inner) as outputs:
        drawn = generator(mel, face)
    file.check("mel", mel)
    file.check("face_head", face.flatten()[-16:])
    file.check_stats("face", face, absolute=1e-12)
    for name, output in outputs.items():
        file.check_stats(name, output, OUTPUTS)
    file.check("audio_embedding", outputs["act_audio"].flatten(1), OUTPUTS)
    file.check("out", drawn, OUTPUTS)
    file.check("out5", generator(*_batch5(seed)), OUTPUTS, step=(..., slice(None, None, 4), slice(None, None, 4)))


@torch.no_grad()
def check_syncnet(goldens: GoldenFolder, file: GoldenFile) -> None:
    expert, seed = _module(goldens, "syncnet_color"), goldens.seed
    mel, face = 2 * uin("syn_mel", (4, 1, 80, 16), seed), u01("syn_face", (4, 15, 48, 96), seed)
    audio_embedding, face_embedding = expert(mel, face)
    labels = torch.from_numpy(file.input("labels"))
    file.check("mel", mel)
    file.check("face_head", face.flatten()[-16:])
    file.check_stats("face", face, absolute=1e-12)
    file.check("audio_emb", audio_embedding, OUTPUTS)
    file.check("face_emb", face_embedding, OUTPUTS)
    file.check("cosine", functional.cosine_similarity(audio_embedding, face_embedding), OUTPUTS)
    ones = torch.ones_like(labels)
    file.check("bce_ones", losses.cosine_bce(audio_embedding, face_embedding, ones), LOSSES)
    file.check("bce_labels", losses.cosine_bce(audio_embedding, face_embedding, labels), LOSSES)


@torch.no_grad()
def check_discriminator(goldens: GoldenFolder, file: GoldenFile) -> None:
    discriminator = _module(goldens, "wav2lip_disc_qual")
    clip = u01("disc_clip", (2, 3, 5, 96, 96), goldens.seed)
    inner = {f"act_enc{i}": block for i, block in enumerate(discriminator.face_encoder_blocks)}
    with Listener(inner) as outputs:
        file.check("prob", discriminator(clip), OUTPUTS)
    for name, output in outputs.items():
        file.check_stats(name, output, OUTPUTS)
    file.check("clip_head", clip.flatten()[-16:])
    file.check("feat", discriminator.features(clip), OUTPUTS)
    file.check("perceptual", losses.perceptual_loss(discriminator, clip), LOSSES)


def check_losses(goldens: GoldenFolder, file: GoldenFile) -> None:
    seed = goldens.seed
    generator = _module(goldens, "wav2lip_generator")
    expert, discriminator = _module(goldens, "syncnet_color"), _module(goldens, "wav2lip_disc_qual")
    target = u01("loss_gt", (2, 3, 5, 96, 96), seed)
    names = [str(name) for name in file.input("grad_names")]
    for mode in ("eval", "train"):
        generator.train(mode == "train")
        generator.zero_grad()
        drawn = generator(*_batch5(seed))
        if mode == "eval":
            real, fake = losses.discriminator_losses(discriminator, target, drawn.detach())
            file.check("disc_real", real, LOSSES)
            file.check("disc_fake", fake, LOSSES)
        sync = losses.sync_loss(expert, 2 * uin("loss_mel", (2, 1, 80, 16), seed), drawn)
        l1 = functional.l1_loss(drawn, target)
        perceptual = losses.perceptual_loss(discriminator, drawn)
        total = losses.total_loss(sync, perceptual, l1, losses.LossWeights())
        total.backward()
        for name, loss in (("sync", sync), ("l1", l1), ("perceptual", perceptual), ("total", total)):
            file.check(f"{mode}_{name}", loss, LOSSES)
        gradients = {name: p.grad for name, p in generator.named_parameters() if p.grad is not None}
        for name in names:
            file.check_stats(f"{mode}_grad/{name}", gradients[name], GRADIENTS[mode], GRADIENT_FLOOR)
        for golden in file.names(f"{mode}_grad_"):
            name = next(n for n in gradients if n.replace(".", "_") == golden.removeprefix(f"{mode}_grad_"))
            file.check(golden, gradients[name], GRADIENTS[mode], GRADIENT_FLOOR)
    # The statistics kept are those of the first layer that hears.
    norm = generator.audio_encoder[0].conv_block[1]
    file.check("train_running_mean", norm.running_mean, OUTPUTS)
    file.check("train_running_var", norm.running_var, OUTPUTS)


def check_mel(_goldens: GoldenFolder, file: GoldenFile) -> None:
    pcm = file.input("pcm16")
    samples = (pcm.astype(np.float32) / np.float32(32768)).reshape(len(pcm), -1).mean(axis=1, dtype=np.float32)
    emphasised = pre_emphasis(samples)
    file.input("mel_dtype")
    file.check("wav_head", samples[8000:8064], absolute=1e-7)
    file.check("preemph_head", emphasised[:64], absolute=1e-7)
    file.check("stft_mag", magnitudes(np.pad(emphasised, 400)), MEL, step=np.s_[::16, ::8])
    file.check("mel_basis", filter_bank(), MEL)
    file.check("mel", mel_spectrogram(samples), absolute=MEL)
    reflected = mel_spectrogram(samples, padding="reflect")
    file.check("mel_reflect_edges", reflected[:, [0, 1, 2, -3, -2, -1]], absolute=MEL)
    for name in file.names("starts_"):
        match = re.fullmatch(r"starts_fps([\d.]+)_cols(\d+)", name)
        if match:
            file.check_exact(name, np.array(chunk_starts(int(match[2]), float(match[1]))))


@torch.no_grad()
def check_pixels(goldens: GoldenFolder, file: GoldenFile) -> None:
    generator = _module(goldens, "wav2lip_generator")
    frame, box = file.input("frame"), file.input("box_y1y2x1x2")
    mel = 2 * uin("w2l_mel", (2, 1, 80, 16), goldens.seed)[:1]
    crop = pixels.crop_face(frame, box)
    drawn = generator(mel, torch.from_numpy(pixels.face_input(crop, crop))[None])[0].numpy()
    file.check_picture("crop", crop)
    file.check("pred_x255", drawn.transpose(1, 2, 0) * np.float32(255), OUTPUTS, step=np.s_[::2, ::2])
    file.check_picture("pred_u8", pixels.to_pixels(drawn))
    file.check_picture("pasted", pixels.paste(frame, pixels.to_pixels(drawn), box))
    boxes = file.input("boxes_in")
    file.check_exact("boxes_smooth", pixels.smooth_boxes(boxes))
    file.check_exact("boxes_smooth_3", pixels.smooth_boxes(boxes[: len(file.input("boxes_smooth_3"))]))
