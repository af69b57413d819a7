"""hibari-tts with a time for every phone.

The model plans how long each phoneme lasts, in steps of 25 ms; its graph is given one more output, so that the plan
comes out with the sound. The sound keeps to it within some 50 ms only, so the phones are aligned to what is heard.
Its alphabet (misaki's) packs English diphthongs into capitals; they come out as IPA.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.studio.aligner import ASPIRATION, Aligner, Said
from models.studio.texts import sentences
from models.studio.visemes import Phone

_PLAN_LATENESS_S = 0.045
"""How much later than the sound the plan is, on the whole; ``check_labels`` measures what remains after alignment."""
_LEARNT_FROM = 40
"""Sentences from which a voice's phones are learnt, once a process: some seconds."""
_LEARNT_SPEEDS = (0.8, 1.4)
_IPA = {
    "A": "eɪ", "I": "aɪ", "W": "aʊ", "Y": "ɔɪ", "O": "oʊ", "Q": "əʊ", "T": "ɾ", "ʧ": "tʃ", "ʤ": "dʒ", "ᵊ": "ə",
    ASPIRATION: "h",
}  # fmt: skip
_DURATIONS = "/Clip_output_0"
_STRESS, _LENGTH = "ˈˌ", "ː"
_ASPIRATED = ("p", "t", "k")
_PAUSE_S = 0.12
_PUNCTUATION = frozenset(' ;:,.!?—…"()“”')


@functools.cache
def _model(voice: str) -> tuple[Any, Any, int]:
    try:
        import onnx
        import onnxruntime
        from hibari.tts import SAMPLE_RATE, Hibari, dsp
        from hibari.voices import voice_path
    except ImportError as error:
        raise MediaError(
            "Speaking with hibari needs hibari-tts, onnx and onnxruntime; install them with "
            "'pip install visavis[studio]'."
        ) from error
    try:
        graph = onnx.load(voice_path(voice, download_missing=False))
    except (OSError, ValueError) as error:
        raise MediaError(
            f"hibari's voice '{voice}' is not on this machine; use 'heart', which comes with it, or fetch it "
            f"with 'hibari --voice {voice}'."
        ) from error
    graph.graph.output.append(onnx.ValueInfoProto(name=_DURATIONS))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    speaker = Hibari(voice=voice)
    speaker.sess = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return speaker, dsp, int(SAMPLE_RATE)


def render(text: str, voice: str, seed: int, speed: float = 1.0) -> tuple[NDArray[np.float32], int, list[Phone]]:
    """Say ``text``: samples (n,), their rate in Hz, phones in order.

    Raises:
        MediaError: hibari or the voice is missing; the message says what to install.
    """
    sound: list[NDArray[np.float32]] = []
    phones: list[Phone] = []
    start_s = 0.0
    for said in _recite(text, voice, seed, speed):
        phones += [
            Phone(_IPA.get(phone.symbol, phone.symbol), start_s + phone.start_s, start_s + phone.end_s)
            for phone in _run_on(_aligner(voice).align(said))
        ]
        sound.append(said.samples)
        start_s += len(said.samples) / said.rate_hz
    if not sound:
        raise MediaError(f"hibari found nothing to say in {text!r}; give it English words.")
    return np.concatenate(sound), said.rate_hz, phones


@functools.cache
def _aligner(voice: str) -> Aligner:
    rng = np.random.default_rng(0)
    texts = rng.choice(sentences("en"), _LEARNT_FROM, replace=False).tolist()
    return Aligner.learnt(
        [said for seed, text in enumerate(texts) for said in _recite(text, voice, seed, rng.uniform(*_LEARNT_SPEEDS))]
    )


def _recite(text: str, voice: str, seed: int, speed: float) -> Iterator[Said]:
    """Sentence by sentence, with the times that the model planned."""
    speaker, dsp, rate_hz = _model(voice)
    rng = np.random.default_rng(seed)
    for phonemes in speaker.phonemize(text):
        inputs = {
            "ids": np.array([speaker.ids(phonemes)], dtype=np.int64),
            "speed": np.array([speed], dtype=np.float32),
        }
        *parameters, durations = speaker.sess.run(None, inputs)
        samples = np.asarray(dsp.synth(*(parameter[0] for parameter in parameters), rng), np.float32)
        frames = np.asarray(durations, dtype=np.float64).ravel()
        edges_s = np.concatenate(([0.0], np.cumsum(frames))) * (len(samples) / rate_hz / frames.sum())
        symbols = [" ", *(letter for letter in phonemes if letter in speaker.vocab), " "]
        yield Said(samples, rate_hz, _planned(symbols, edges_s))


def _planned(symbols: list[str], edges_s: NDArray[np.float64]) -> list[Phone]:
    """A stress mark's time belongs to the phone after it, a length mark's to the phone before."""
    phones: list[Phone] = []
    waiting: float | None = None
    shifted = np.maximum(edges_s - _PLAN_LATENESS_S, edges_s[0])
    for symbol, start, end in zip(symbols, shifted[:-1].tolist(), shifted[1:].tolist(), strict=True):
        if symbol in _STRESS:
            waiting = start if waiting is None else waiting
            continue
        if symbol == _LENGTH and phones:
            phones[-1] = Phone(phones[-1].symbol + _LENGTH, phones[-1].start_s, end)
            continue
        start, waiting = (start if waiting is None else waiting), None
        phones.append(Phone("" if symbol in _PUNCTUATION else symbol, start, end))
    return [part for phone in phones for part in _with_aspiration(phone)]


def _with_aspiration(phone: Phone) -> list[Phone]:
    """A voiceless stop is when its articulators touch: the breath after it belongs to an open mouth."""
    if phone.symbol not in _ASPIRATED:
        return [phone]
    opens_s = (phone.start_s + phone.end_s) / 2
    return [Phone(phone.symbol, phone.start_s, opens_s), Phone(ASPIRATION, opens_s, phone.end_s)]


def _run_on(phones: list[Phone]) -> list[Phone]:
    """Words run into each other: a short gap between two of them is shared out, only a long one is a pause."""
    joined: list[Phone] = []
    for index, phone in enumerate(phones):
        gap = phone.symbol == "" and phone.end_s - phone.start_s < _PAUSE_S
        if not (gap and joined and index + 1 < len(phones)):
            start = joined[-1].end_s if joined else phone.start_s
            joined.append(Phone(phone.symbol, start, phone.end_s))
            continue
        before = joined[-1]
        joined[-1] = Phone(before.symbol, before.start_s, (phone.start_s + phone.end_s) / 2)
    return joined
