// Everything that writes to the page. Text goes in as textContent, never as markup.

const STATE_WORDS = {
  idle: "Not connected",
  connecting: "Connecting…",
  connected: "Live",
  waiting: "Trying again",
  failed: "Not connected",
};
// Skew within which nobody notices that lips and sound differ (ITU-R BT.1359 puts detection at +45/-125 ms).
const IN_STEP_MS = 40;
const PART_WORDS = {
  packet: "one packet of sound",
  ingress: "server, receiving",
  lookahead: "server, listening ahead",
  render: "server, drawing",
  playout: "server, sending",
};

export const byId = (id) => document.getElementById(id);

export function setText(element, text) {
  // Writing the same text again would make a screen reader say it again.
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function round(value, unit = "") {
  return Number.isFinite(value) ? `${Math.round(value)}${unit}` : "–";
}

// The connection and the controls each say what is wrong; a connection that comes up must not wipe out the
// sentence about a file that can't be read.
const notices = { link: "", control: "" };

function setNotice(from, message) {
  notices[from] = message;
  const shown = notices.link || notices.control;
  setText(byId("notice-text"), shown);
  byId("notice").hidden = !shown;
}

/** Shows what went wrong with a control, or nothing for "". What the connection says comes first. */
export function showNotice(message) {
  setNotice("control", message);
}

export function showLink({ state, message, secondsLeft }) {
  document.body.dataset.state = state;
  setText(byId("state"), STATE_WORDS[state]);
  setNotice("link", message);
  const waiting = state === "waiting";
  const cancel = byId("cancel");
  if (!waiting && document.activeElement === cancel) {
    byId("connect").focus();
  }
  cancel.hidden = !waiting;
  setText(byId("countdown"), waiting ? `Trying again in ${secondsLeft} s.` : "");
  setText(byId("connect-text"), state === "idle" || state === "failed" ? "Connect" : "Disconnect");
}

/** Marks the source that speaks: "silence", "microphone", "sample" or "file". */
export function showSource(kind) {
  const words = {
    microphone: ["Speak", "Stop speaking"],
    sample: ["Play sample", "Stop sample"],
    file: ["Play a file", "Stop file"],
  };
  for (const [name, [start, stop]] of Object.entries(words)) {
    const on = name === kind;
    byId(name).classList.toggle("is-on", on);
    setText(byId(`${name}-text`), on ? stop : start);
  }
  document.body.dataset.source = kind;
}

export function showLevel(level) {
  byId("level").style.transform = `scaleX(${level.toFixed(2)})`;
}

export function showMuted(muted) {
  setText(byId("mute-text"), muted ? "Unmute avatar" : "Mute avatar");
}

function skewWords(skewMs) {
  if (!Number.isFinite(skewMs)) {
    return "";
  }
  if (Math.abs(skewMs) <= IN_STEP_MS) {
    return "in step";
  }
  return skewMs > 0 ? "sound first" : "picture first";
}

/** Fills the live strip; null clears it. */
export function showFigures(figures) {
  setText(byId("fps"), round(figures?.fps));
  setText(byId("delay"), round(figures?.delayMs, " ms"));
  setText(byId("skew"), round(figures ? Math.abs(figures.skewMs ?? NaN) : null, " ms"));
  setText(byId("skew-note"), skewWords(figures?.skewMs));
  byId("parts-box").hidden = !Number.isFinite(figures?.delayMs);
  if (Number.isFinite(figures?.delayMs)) {
    showParts(figures);
  }
}

function delayParts({ networkMs, serverMs, serverParts, browserMs }) {
  const parts = [["network, there and back", networkMs]];
  const known = Object.entries(serverParts).filter(([, ms]) => Number.isFinite(ms) && ms > 0);
  parts.push(...known.map(([name, ms]) => [PART_WORDS[name] ?? `server, ${name.replaceAll("_", " ")}`, ms]));
  const rest = serverMs - known.reduce((total, [, ms]) => total + ms, 0);
  if (rest >= 1) {
    parts.push([known.length ? "server, the rest" : "server", rest]);
  }
  parts.push(["this browser's buffer", browserMs]);
  return parts;
}

function showParts(figures) {
  const rows = delayParts(figures).map(([name, ms]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const bar = document.createElement("td");
    const fill = document.createElement("span");
    fill.className = "bar";
    fill.style.width = `${Math.min(100, (100 * ms) / figures.delayMs).toFixed(1)}%`;
    bar.append(fill);
    const value = document.createElement("td");
    value.textContent = round(ms, " ms");
    row.append(head, bar, value);
    return row;
  });
  byId("parts").replaceChildren(...rows);
}

/** Draws the portraits as one radio group; calls `choose(avatar)` on a choice. */
export function showAvatars(avatars, chosen, choose) {
  const buttons = avatars.map((avatar) => {
    const label = document.createElement("label");
    label.className = "portrait";
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "avatar";
    radio.value = avatar.name;
    radio.checked = avatar.name === chosen;
    radio.addEventListener("change", () => choose(avatar));
    const picture = document.createElement("img");
    picture.src = avatar.portrait;
    picture.alt = "";
    const title = document.createElement("span");
    title.textContent = avatar.title;
    label.append(radio, picture, title);
    return label;
  });
  byId("portraits").replaceChildren(...buttons);
  byId("avatars").hidden = avatars.length === 0;
}

/** Puts the avatar's still picture on the stage, in its own proportions. */
export function showAvatar(avatar) {
  const still = byId("still");
  still.src = avatar.portrait;
  still.alt = `Portrait of ${avatar.title}`;
  byId("picture").style.aspectRatio = `${avatar.width} / ${avatar.height}`;
  setText(byId("licence"), avatar.licence ? `${avatar.title}: ${avatar.licence}` : "");
}

/** Offers the engines that are ready; `missing` holds a sentence for each of the others. */
export function showEngines(engines, missing = {}) {
  const absent = Object.keys(missing).map((name) => {
    const option = new Option(`${name} (weights missing)`, name);
    option.disabled = true;
    return option;
  });
  // The empty choice leaves it to the server, whose default the page does not know.
  const choices = engines.map((name) => new Option(name, name));
  byId("engine").replaceChildren(new Option("the server's choice", ""), ...choices, ...absent);
  byId("engine-box").hidden = choices.length + absent.length < 2;
  setText(byId("engine-missing"), Object.values(missing).join(" "));
}

/** Offers to add faces, where the server takes them. */
export function showOwnBox(uploads) {
  byId("own-box").hidden = !uploads;
}

/** Offers to record, where the server does. */
export function showRecord(offered) {
  byId("record-box").hidden = !offered;
}

/** Where a film is made of a recording whose session is over; null for none. */
export function showRecording(id) {
  byId("recording").hidden = id === null;
  if (id !== null) {
    byId("recording").href = `/static/jobs.html?recording=${encodeURIComponent(id)}`;
  }
}

/** What the chosen avatar was made into, if it is one's own. */
export function showOwn(avatar) {
  byId("own-preview").hidden = !avatar.own;
  const sheet = byId("own-sheet");
  if (avatar.own) {
    sheet.src = `/avatars/${encodeURIComponent(avatar.name)}/preview.jpg`;
    sheet.alt = `${avatar.title}: the picture, the face crop, what is drawn over, and the idle loop`;
    showDelete("Delete");
  } else {
    sheet.removeAttribute("src");
  }
}

export function showDelete(words) {
  setText(byId("own-delete-text"), words);
}

export function showMaking(busy) {
  byId("own-make").disabled = busy;
  setText(byId("own-make-text"), busy ? "Making the avatar… about ten seconds" : "Make the avatar");
}

/** Asks which face is meant. */
export function showFaceField(asks) {
  byId("own-face").hidden = !asks;
  byId("own-face-label").hidden = !asks;
}
