// Wires the controls to the connection and to the sound source.

import { ApiError, endSession, getJson } from "./api.js";
import { Link } from "./link.js";
import { Live } from "./live.js";
import { Meters } from "./meters.js";
import * as own from "./own.js";
import { Peer } from "./peer.js";
import { SourceError, Sources } from "./sources.js";
import * as view from "./view.js";

const { byId } = view;
const POLL_MS = 1000;
const LEVEL_MS = 80;
// Arrow keys walk through the portraits; only the one on which they rest is connected to.
const CHOICE_REST_MS = 350;
const STALLED_POLLS = 2;

const face = byId("face");
const sources = new Sources();
const link = new Link(openPeer);
const live = new Live(() => link.peer?.sessionId, guarded);
let avatar = null;
let config = null;
let meters = new Meters();
let silentPolls = 0;

/** For tests and the console. */
const shown = { state: "idle", message: "", source: "silence", avatar: null, sessionId: null, stats: null, webcam: null, recording: null };
window.visavis = shown;

// --- what the server offers ------------------------------------------------------------------------

/** Lists the avatars and chooses `wanted`, or the server's default. */
async function loadAvatars(wanted) {
  const list = await getJson("/avatars");
  if (list.avatars.length === 0) {
    throw new ApiError("The server has no avatar. Make one with “visavis avatar” and press Connect.");
  }
  view.showOwnBox(list.uploads ?? false);
  const byName = (name) => list.avatars.find((item) => item.name === name);
  choose(byName(wanted) ?? byName(list.default) ?? list.avatars[0]);
  view.showAvatars(list.avatars, avatar.name, (item) => {
    choose(item);
    reconnectSoon();
  });
}

async function loadConfig() {
  const first = config === null;
  config = await getJson("/config");
  view.showRecord(config.recordings ?? false);
  if (first) {
    view.showEngines(config.engines ?? [], config.missing_engines ?? {});
  }
}

function choose(item) {
  avatar = item;
  shown.avatar = item.name;
  view.showAvatar(item);
  own.show(item);
}

let rest;
function reconnectSoon() {
  clearTimeout(rest);
  rest = setTimeout(() => link.active && link.start(), CHOICE_REST_MS);
}

// --- the connection --------------------------------------------------------------------------------

async function openPeer(signal) {
  // Fetched at every attempt: TURN credentials run out, and the page may have loaded while the server was away.
  await loadConfig();
  if (!avatar) {
    await loadAvatars();
  }
  // This attempt takes the latest choice with it; one that still waits to be connected to needs no other.
  clearTimeout(rest);
  const choice = { avatar: avatar.name };
  if (byId("engine").value) {
    choice.engine = byId("engine").value;
  }
  if (config.recordings && byId("record").checked) {
    choice.record = true;
  }
  const sent = sources.track;
  const camera = live.camera.track;
  const iceServers = config.ice_servers;
  const peer = await Peer.open({ track: sent, camera, iceServers, ...choice, onStream: show, signal });
  if (sources.track !== sent) {
    await peer.replaceTrack(sources.track);
  }
  if (live.camera.track !== camera) {
    await peer.replaceCamera(live.camera.track);
  }
  return peer;
}

function show(stream) {
  if (face.srcObject !== stream) {
    face.srcObject = stream;
    play();
  }
}

async function play() {
  try {
    await face.play();
  } catch (error) {
    if (error.name === "NotAllowedError" && !face.muted) {
      // The browser wants a gesture before sound: show the picture now, and offer the gesture.
      face.muted = true;
      byId("unmute").hidden = false;
      await play();
    } else if (error.name !== "AbortError") {
      view.showNotice(`The browser can't play the avatar: ${error.message}.`);
    }
  }
}

link.addEventListener("change", ({ detail }) => {
  Object.assign(shown, { state: detail.state, message: detail.message });
  view.showLink(detail);
  if (detail.state === "connected") {
    shown.sessionId = link.peer.sessionId;
    shown.recording = link.peer.recording;
    view.showRecording(null);
    meters = new Meters();
    silentPolls = 0;
  } else {
    face.srcObject = null;
    document.body.classList.remove("has-picture");
    byId("unmute").hidden = true;
    shown.stats = null;
    view.showFigures(null);
    view.showRecording(shown.recording);
  }
  if (detail.state === "idle" || detail.state === "failed") {
    sources.kind !== "silence" && sources.silence();
    tellLive(null);
  }
});

/** Shows what the server tells of the session's camera and gestures. */
function tellLive(told) {
  shown.webcam = told?.webcam ?? null;
  live.update(told);
}

async function poll() {
  const { peer } = link;
  if (!peer) {
    return;
  }
  let server = null;
  let gone = false;
  let unreachable = false;
  try {
    server = await getJson(`/sessions/${encodeURIComponent(peer.sessionId)}`);
  } catch (error) {
    gone = error.status === 404;
    unreachable = error.status === 0;
  }
  const figures = meters.add(await peer.getStats(), server);
  if (peer !== link.peer) {
    return;
  }
  silentPolls = unreachable && figures.stalled ? silentPolls + 1 : 0;
  if (gone || silentPolls >= STALLED_POLLS) {
    peer.end(gone ? "The server ended the session." : undefined);
    return;
  }
  shown.stats = figures;
  view.showFigures(figures);
  if (server) {
    tellLive(server);
  }
}

async function pollForever() {
  try {
    await poll();
  } finally {
    setTimeout(pollForever, POLL_MS);
  }
}

// --- the controls ----------------------------------------------------------------------------------

/** Makes a listener that runs a control's action and says in words what went wrong. */
function guarded(action) {
  return async (...details) => {
    view.showNotice("");
    try {
      await action(...details);
    } catch (error) {
      const isSentence = error instanceof SourceError || error instanceof ApiError;
      const message = isSentence ? error.message : `Something went wrong: ${error.message}.`;
      shown.message = message;
      view.showNotice(message);
    }
  };
}

function on(id, event, action) {
  byId(id).addEventListener(event, guarded(action));
}

/** Connects where needed, then lets `begin` start the sound, so that its first word is heard. */
async function sayWhenConnected(begin) {
  if (link.peer || (await link.start())) {
    begin();
  }
}

on("microphone", "click", async () => {
  await sources.wake();
  if (sources.kind === "microphone") {
    sources.silence();
    return;
  }
  await sources.useMicrophone();
  if (!link.active) {
    link.start();
  }
});

on("sample", "click", async () => {
  await sources.wake();
  if (sources.kind === "sample") {
    sources.silence();
    return;
  }
  const buffer = await sources.loadSample(config?.sample ?? "/static/sample.wav");
  await sayWhenConnected(() => sources.play(buffer, "sample"));
});

on("file", "click", async () => {
  await sources.wake();
  if (sources.kind === "file") {
    sources.silence();
  } else {
    byId("file-input").click();
  }
});

on("file-input", "change", async ({ target }) => {
  const [file] = target.files;
  if (file) {
    const buffer = await sources.loadFile(file);
    // Cleared, so that the same file can be chosen again.
    target.value = "";
    await sayWhenConnected(() => sources.play(buffer, "file"));
  }
});

on("connect", "click", async () => {
  await sources.wake();
  if (link.active) {
    link.stop();
  } else {
    link.start();
  }
});

on("cancel", "click", () => link.stop());
on("engine", "change", reconnectSoon);
on("record", "change", reconnectSoon);

on("mute", "click", () => {
  face.muted = !face.muted;
  byId("unmute").hidden = true;
  view.showMuted(face.muted);
});

on("unmute", "click", () => {
  face.muted = false;
  byId("unmute").hidden = true;
  view.showMuted(false);
  byId("mute").focus();
});

on("own-form", "submit", async (event) => {
  event.preventDefault();
  await loadAvatars(await own.make());
  reconnectSoon();
});

on("own-delete", "click", async () => {
  if (await own.remove(avatar)) {
    await loadAvatars();
    reconnectSoon();
  }
});

face.addEventListener("playing", () => document.body.classList.add("has-picture"));

sources.addEventListener("change", () => {
  shown.source = sources.kind;
  view.showSource(sources.kind);
  link.peer?.replaceTrack(sources.track);
});
sources.addEventListener("lost", ({ detail }) => view.showNotice(detail));

live.camera.addEventListener("change", () => link.peer?.replaceCamera(live.camera.track));
live.camera.addEventListener("lost", ({ detail }) => view.showNotice(detail));

// A page that goes away frees its place at once, not when the server notices.
window.addEventListener("pagehide", () => link.peer && endSession(link.peer.sessionId));

setInterval(() => view.showLevel(sources.level), LEVEL_MS);
view.showFigures(null);
pollForever();
Promise.all([loadAvatars(), loadConfig()]).catch((error) => view.showNotice(error.message));
