// What is said to the avatar: the microphone, the sample or a file, always as one outgoing audio track.

// A longer file is decoded into memory whole (48 kHz float), which a phone does not survive.
const FILE_LIMIT_BYTES = 50e6;
// Lets the first packets of silence arrive, so that the first word is not the one that fills the buffers.
const LEAD_S = 0.3;

const MICROPHONE_ERRORS = {
  NotAllowedError:
    "The microphone is blocked. Allow it for this page beside the address bar, then press Speak again.",
  NotFoundError: "No microphone was found. Plug one in and press Speak again, or play the sample.",
  NotReadableError: "The microphone is in use by another program. Close that program and press Speak again.",
};
const INSECURE =
  "The browser gives the microphone only to pages opened by https or on localhost. Open this page that way, or play the sample.";

/** A failure to explain to the user; the message is a sentence. */
export class SourceError extends Error {}

/** Fires "change" when `kind` or `track` is another one, and "lost" (detail: a sentence) when a source goes away. */
export class Sources extends EventTarget {
  /** "silence", "microphone", "sample" or "file" */
  kind = "silence";
  #context;
  #destination;
  #meter;
  #samples;
  #player = null;
  #microphone = null;

  /** Call from a click or a key: browsers start sound only then. */
  async wake() {
    if (!this.#context) {
      this.#context = new AudioContext({ latencyHint: "interactive" });
      this.#destination = new MediaStreamAudioDestinationNode(this.#context, {
        channelCount: 1,
        channelCountMode: "explicit",
      });
      this.#meter = new AnalyserNode(this.#context, { fftSize: 1024 });
      this.#samples = new Float32Array(this.#meter.fftSize);
      // Silence is sent, not left out: the avatar idles alive from the first second.
      const silence = new ConstantSourceNode(this.#context, { offset: 0 });
      silence.connect(this.#destination);
      silence.start();
    }
    await this.#context.resume();
  }

  /** The track to send now. */
  get track() {
    return this.#microphone?.stream.getAudioTracks()[0] ?? this.#destination.stream.getAudioTracks()[0];
  }

  /** Loudness of what is sent, 0 to 1. */
  get level() {
    if (this.kind === "silence") {
      return 0;
    }
    this.#meter.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, x) => sum + x * x, 0) / this.#samples.length;
    // -60 dBFS is the floor of the bar, -10 dBFS its end.
    return Math.min(1, Math.max(0, (10 * Math.log10(power + 1e-9) + 60) / 50));
  }

  /** Asks for the microphone and sends it. */
  async useMicrophone() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new SourceError(INSECURE);
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        // The avatar's voice comes from the loudspeaker and must not be sent back to it.
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
      });
    } catch (error) {
      throw new SourceError(MICROPHONE_ERRORS[error.name] ?? `The microphone can't be used: ${error.message}.`);
    }
    this.#drop();
    const node = this.#context.createMediaStreamSource(stream);
    node.connect(this.#meter);
    this.#microphone = { stream, node };
    stream.getAudioTracks()[0].addEventListener("ended", () => {
      if (this.#microphone?.stream === stream) {
        this.silence();
        const detail = "The microphone went away. Plug it in and press Speak again.";
        this.dispatchEvent(new CustomEvent("lost", { detail }));
      }
    });
    this.#become("microphone");
  }

  /** Fetches the sample; gives a buffer for `play`. */
  async loadSample(address) {
    let response;
    try {
      response = await fetch(address);
    } catch {
      throw new SourceError("The sample can't be loaded: the server does not answer.");
    }
    if (!response.ok) {
      throw new SourceError(`The sample can't be loaded: the server has no ${address}.`);
    }
    return this.#decode(await response.arrayBuffer(), "The sample");
  }

  /** Decodes a file of the user's; gives a buffer for `play`. */
  async loadFile(file) {
    if (file.size > FILE_LIMIT_BYTES) {
      throw new SourceError(`“${file.name}” is larger than ${FILE_LIMIT_BYTES / 1e6} MB. Choose a shorter one.`);
    }
    return this.#decode(await file.arrayBuffer(), `“${file.name}”`);
  }

  async #decode(bytes, name) {
    try {
      return await this.#context.decodeAudioData(bytes);
    } catch {
      throw new SourceError(`${name} can't be read as sound. Choose a WAV, MP3, M4A, FLAC or Ogg file.`);
    }
  }

  /** Sends a decoded buffer once, then silence. */
  play(buffer, kind) {
    this.#drop();
    const player = new AudioBufferSourceNode(this.#context, { buffer });
    player.connect(this.#destination);
    player.connect(this.#meter);
    player.addEventListener("ended", () => this.#player === player && this.silence());
    player.start(this.#context.currentTime + LEAD_S);
    this.#player = player;
    this.#become(kind);
  }

  silence() {
    this.#drop();
    this.#become("silence");
  }

  #drop() {
    const player = this.#player;
    this.#player = null;
    player?.stop();
    player?.disconnect();
    this.#microphone?.node.disconnect();
    this.#microphone?.stream.getTracks().forEach((track) => track.stop());
    this.#microphone = null;
  }

  #become(kind) {
    this.kind = kind;
    this.dispatchEvent(new Event("change"));
  }
}
