// The visitor's camera: off until asked for, one track while it is on.

import { SourceError } from "./sources.js";

const ERRORS = {
  NotAllowedError: "The camera is blocked. Allow it for this page beside the address bar, then press the button again.",
  NotFoundError: "No camera was found. Plug one in and press the button again.",
  NotReadableError: "The camera is in use by another program. Close that program and press the button again.",
};
const INSECURE =
  "The browser gives the camera only to pages opened by https or on localhost. Open this page that way to use it.";

/** Fires "change" when it was turned on or off, and "lost" (detail: a sentence) when it goes away by itself. */
export class Camera extends EventTarget {
  #stream = null;
  #attempt = 0;

  get isOn() {
    return this.#stream !== null;
  }

  /** For a small view of oneself; null while it is off. */
  get stream() {
    return this.#stream;
  }

  /** The track to send; null while it is off. */
  get track() {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  /** Asks for the camera; throws SourceError. */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new SourceError(INSECURE);
    }
    this.#attempt += 1;
    const attempt = this.#attempt;
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        // A face is found in small pictures; larger ones only take longer to send.
        video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 25, max: 30 }, facingMode: "user" },
      });
    } catch (error) {
      throw new SourceError(ERRORS[error.name] ?? `The camera can't be used: ${error.message}.`);
    }
    if (attempt !== this.#attempt) {
      // It was given up while the browser asked.
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    this.#stream = stream;
    this.track.addEventListener("ended", () => {
      if (this.#stream === stream) {
        this.stop();
        const detail = "The camera went away. Plug it in and press the button again.";
        this.dispatchEvent(new CustomEvent("lost", { detail }));
      }
    });
    this.dispatchEvent(new Event("change"));
  }

  /** Turns it off, its light too; one that was asked for stays off. */
  stop() {
    this.#attempt += 1;
    if (this.#stream) {
      this.#stream.getTracks().forEach((track) => track.stop());
      this.#stream = null;
      this.dispatchEvent(new Event("change"));
    }
  }
}
