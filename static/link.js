// Keeps a connection: opens it, notices a loss, tries again with growing waits, until told to stop.

import { ApiError } from "./api.js";

const WAITS_S = [1, 2, 4, 8];
const TRIES = 10;
// A connection that held this long was sound, so its loss starts again at the shortest wait.
const SOUND_MS = 10000;

/** Waits, or returns at once when `signal` aborts; calls `tick` every second with the seconds left. */
async function countdown(seconds, signal, tick) {
  for (let left = seconds; left > 0 && !signal.aborted; left -= 1) {
    tick(left);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000);
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}

/**
 * States: "idle", "connecting", "connected", "waiting" (will try again), "failed" (will not).
 * Fires "change" with `{state, message, secondsLeft}` in `detail`.
 */
export class Link extends EventTarget {
  state = "idle";
  peer = null;
  #open;
  #run = new AbortController();

  /** @param {(signal: AbortSignal) => Promise<Peer>} open makes one connection or throws ApiError */
  constructor(open) {
    super();
    this.#open = open;
  }

  get active() {
    return ["connecting", "connected", "waiting"].includes(this.state);
  }

  /** Connects anew, ending what was there. Resolves true when connected, false when stopped or failed. */
  start() {
    this.#abandon();
    this.#run = new AbortController();
    const { signal } = this.#run;
    return new Promise((resolve) => this.#keep(signal, resolve).finally(() => resolve(false)));
  }

  stop() {
    this.#abandon();
    this.#change("idle");
  }

  #abandon() {
    this.#run.abort();
    this.peer?.close();
    this.peer = null;
  }

  #change(state, message = "", secondsLeft = 0) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("change", { detail: { state, message, secondsLeft } }));
  }

  async #keep(signal, onConnected) {
    let failures = 0;
    while (!signal.aborted) {
      this.#change("connecting");
      const began = performance.now();
      const error = await this.#once(signal, onConnected);
      if (signal.aborted) {
        return;
      }
      failures = error.status === undefined && performance.now() - began > SOUND_MS ? 1 : failures + 1;
      if (!error.retry || failures > TRIES) {
        this.#change("failed", error.message);
        return;
      }
      const waitS = Math.max(WAITS_S[Math.min(failures, WAITS_S.length) - 1], Math.ceil(error.afterS));
      await countdown(waitS, signal, (left) => this.#change("waiting", error.message, left));
    }
  }

  /** Lives through one connection; gives the reason of its end. */
  async #once(signal, onConnected) {
    try {
      const peer = await this.#open(signal);
      if (signal.aborted) {
        peer.close();
        return null;
      }
      this.peer = peer;
      this.#change("connected");
      onConnected(true);
      const stopped = new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      const message = await Promise.race([peer.lost, stopped]);
      peer.close();
      if (this.peer === peer) {
        this.peer = null;
      }
      return { retry: true, afterS: 0, message };
    } catch (error) {
      return error instanceof ApiError ? error : new ApiError(`The connection failed: ${error.message}`);
    }
  }
}
