// What an engine that moves the whole head adds: a camera it follows, and gestures.

import { getJson, postJson } from "./api.js";
import { Camera } from "./camera.js";
import * as view from "./live_view.js";

const { byId } = view;
const MOST_TEMPLATES = 12;

/** The camera and the gestures of whatever session runs; nothing shows where its engine has neither. */
export class Live {
  camera = new Camera();
  #session;
  #guard;
  #asked = null;

  /**
   * @param {() => ?string} session gives the id of the session that runs
   * @param {(action: Function) => Function} guard makes a listener of an action, and says in words what went wrong
   */
  constructor(session, guard) {
    this.#session = session;
    this.#guard = guard;
    byId("camera").addEventListener(
      "click",
      guard(() => (this.camera.isOn ? this.camera.stop() : this.camera.start())),
    );
    byId("neutral").addEventListener(
      "click",
      guard(() => this.#post("neutral", {})),
    );
    this.camera.addEventListener("change", () => view.showCamera(this.camera.stream));
  }

  /** Shows what the server tells of a session; null when there is none. */
  update(told) {
    const webcam = told?.webcam ?? null;
    if (!webcam) {
      // Nobody looks at its pictures any more.
      this.camera.stop();
    }
    view.showLive(webcam, told?.gestures ?? [], this.camera.isOn);
    this.#offerGestures(told).catch(() => {
      // The list of templates can wait for the next session.
    });
  }

  async #offerGestures(told) {
    const id = told?.session_id ?? null;
    if (id === this.#asked) {
      return;
    }
    this.#asked = id;
    const gestures = (told?.gestures ?? []).map((name) => ({ title: name, body: { name } }));
    view.showGestures(gestures, this.#play);
    if (gestures.length > 0) {
      const { motions } = await getJson("/motions");
      const whole = motions.filter((row) => !row.error && row.frames > 1).slice(0, MOST_TEMPLATES);
      gestures.push(...whole.map(({ name, title }) => ({ title: title || name, body: { motion: name } })));
      if (this.#asked === id) {
        view.showGestures(gestures, this.#play);
      }
    }
  }

  #play = (body, shown) =>
    this.#guard(async () => {
      const answer = await this.#post("gesture", body);
      if (answer) {
        shown(answer.seconds);
      }
    })();

  /** Nothing where no session runs. */
  async #post(what, body) {
    const id = this.#session();
    return id ? postJson(`/sessions/${encodeURIComponent(id)}/${what}`, body) : null;
  }
}
