// One WebRTC connection: from the offer to the close.

import { ApiError, endSession, postJson } from "./api.js";

const GATHER_LIMIT_MS = 1000;
const CONNECT_LIMIT_MS = 12000;
// A short gap in the network mends itself; longer ones are for the link to repair.
const DISCONNECTED_LIMIT_MS = 2500;

const NO_MEDIA =
  "The server answered, but sound and picture can't get through. A firewall may block UDP; a TURN server helps.";
const LOST = "The connection was lost.";

function gathered(pc) {
  return new Promise((resolve) => {
    const check = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHER_LIMIT_MS);
    check();
  });
}

function connected(pc, signal) {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new ApiError(NO_MEDIA, { retry: true })), CONNECT_LIMIT_MS);
    const check = () => {
      if (pc.connectionState === "connected") {
        clearTimeout(limit);
        resolve();
      } else if (signal.aborted || ["failed", "closed"].includes(pc.connectionState)) {
        clearTimeout(limit);
        reject(new ApiError(NO_MEDIA, { retry: true }));
      }
    };
    pc.addEventListener("connectionstatechange", check);
    signal.addEventListener("abort", check);
    check();
  });
}

export class Peer {
  #pc;
  #sender;
  #cameraSender;
  #end;
  #closed = false;

  /** The id of the recording that the server makes of the session, if it makes one. */
  recording = null;

  /** Resolves with a sentence once the connection is lost; never rejects. */
  lost = new Promise((resolve) => {
    this.#end = resolve;
  });

  /**
   * Offers `track` and resolves when sound and picture flow.
   * `camera` is a track or null: there is room for one in any case, so that it can be turned on without a new offer.
   * `record` has the server record what it hears.
   * `onStream` gets the avatar's stream; `signal` gives up at any moment.
   */
  static async open({ track, camera, iceServers, avatar, engine, record, onStream, signal }) {
    const peer = new Peer(iceServers, track, camera, onStream);
    try {
      await peer.#negotiate({ avatar, engine, record }, signal);
      await connected(peer.#pc, signal);
    } catch (error) {
      peer.close();
      throw error;
    }
    peer.#watch();
    return peer;
  }

  constructor(iceServers, track, camera, onStream) {
    this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#sender = this.#pc.addTransceiver(track, { direction: "sendrecv" }).sender;
    this.#cameraSender = this.#pc.addTransceiver(camera ?? "video", { direction: "sendrecv" }).sender;
    const stream = new MediaStream();
    this.#pc.addEventListener("track", (event) => {
      // The server's own stream keeps sound and picture in one sync group.
      onStream(event.streams[0] ?? (stream.addTrack(event.track), stream));
    });
  }

  async #negotiate(choice, signal) {
    await this.#pc.setLocalDescription();
    await gathered(this.#pc);
    signal.throwIfAborted();
    const { sdp, type } = this.#pc.localDescription;
    const answer = await postJson("/offer", { sdp, type, ...choice });
    this.sessionId = answer.session_id;
    this.recording = answer.recording ?? null;
    // Not passed to fetch: an answer that nobody awaits would leave its session behind.
    signal.throwIfAborted();
    await this.#pc.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
  }

  #watch() {
    const pc = this.#pc;
    let limit;
    pc.addEventListener("connectionstatechange", () => {
      clearTimeout(limit);
      if (["failed", "closed"].includes(pc.connectionState)) {
        this.end(LOST);
      } else if (pc.connectionState === "disconnected") {
        limit = setTimeout(() => this.end(LOST), DISCONNECTED_LIMIT_MS);
      }
    });
    // A server that closes says so over DTLS long before ICE notices.
    const { transport } = this.#sender;
    transport.addEventListener("statechange", () => {
      if (["closed", "failed"].includes(transport.state)) {
        this.end(LOST);
      }
    });
  }

  /** Says that the connection is over, with the reason as a sentence. */
  end(sentence = LOST) {
    this.#end(sentence);
  }

  replaceTrack(track) {
    return this.#sender.replaceTrack(track);
  }

  /** Sends another camera, or with null none. */
  replaceCamera(track) {
    return this.#cameraSender.replaceTrack(track);
  }

  getStats() {
    return this.#pc.getStats();
  }

  close() {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#pc.close();
    if (this.sessionId) {
      endSession(this.sessionId);
    }
  }
}
