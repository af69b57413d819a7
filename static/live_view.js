// Everything that the camera and the gestures write to the page.

import { byId, setText } from "./view.js";

export { byId };

const FACE_WORDS = {
  following: "The avatar follows your head.",
  holding: "Your face is out of sight: the avatar holds still for a moment.",
};
const NO_FACE =
  "No face is seen in the camera's picture. Look into it, in good light; meanwhile the avatar moves by itself.";

/** What becomes of the face before the camera, as a sentence. */
function faceWords({ face, fault, shown }) {
  if (fault) {
    return fault;
  }
  if (face === "waiting" && shown === 0) {
    return "Waiting for the camera's first picture.";
  }
  return FACE_WORDS[face] ?? NO_FACE;
}

/** Shows what an engine offers; `webcam` is what the server tells of the camera, null where the engine has no use for one. */
export function showLive(webcam, gestures, isOn) {
  byId("live").hidden = !webcam && gestures.length === 0;
  byId("camera-box").hidden = !webcam;
  setText(byId("camera-state"), webcam && isOn ? faceWords(webcam) : "");
}

/** Shows the visitor in the camera; null where it is off. */
export function showCamera(stream) {
  const isOn = stream !== null;
  byId("self").srcObject = stream;
  byId("self-box").hidden = !isOn;
  byId("neutral").hidden = !isOn;
  byId("camera").classList.toggle("is-on", isOn);
  setText(byId("camera-text"), isOn ? "Turn the webcam off" : "Turn the webcam on");
  if (!isOn) {
    setText(byId("camera-state"), "");
  }
}

/** A button a gesture; `play(body, shown)` is called on a click, and calls `shown(seconds)` when it was begun. */
export function showGestures(gestures, play) {
  const buttons = gestures.map(({ title, body }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = title.charAt(0).toUpperCase() + title.slice(1);
    button.addEventListener("click", () =>
      play(body, (seconds) => {
        button.classList.add("is-on");
        setTimeout(() => button.classList.remove("is-on"), 1000 * seconds);
      }),
    );
    return button;
  });
  byId("gestures").replaceChildren(...buttons);
  byId("gestures-box").hidden = buttons.length === 0;
}
