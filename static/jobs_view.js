// Everything that writes to the page of films. Text goes in as textContent, never as markup.

export const byId = (id) => document.getElementById(id);

function setText(element, text) {
  // Writing the same text again would make a screen reader say it again.
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Shows what went wrong, or nothing for "". */
export function showNotice(message) {
  setText(byId("notice-text"), message);
  byId("notice").hidden = !message;
}

/**
 * The avatars and engines to choose from; an engine that lacks something here can't be chosen, and why is said.
 * @param {{avatars: {name: string, title: string}[], default: string}} list
 * @param {{name: string, draws: "avatar" | "picture", missing: ?string}[]} engines
 * @param {boolean} isRecorded whether the sound is that of a recorded session, which had an avatar
 */
export function showChoices({ avatars, default: first }, engines, isRecorded) {
  byId("job-recording").hidden = !isRecorded;
  byId("job-sound").required = !isRecorded;
  for (const id of ["job-sound", "job-sound-label"]) {
    byId(id).hidden = isRecorded;
  }
  const chosen = isRecorded ? "" : first;
  byId("job-avatar").replaceChildren(
    ...(isRecorded ? [new Option("the session's", "")] : []),
    ...avatars.map(({ name, title }) => new Option(title, name, name === chosen, name === chosen)),
  );
  byId("job-engine").replaceChildren(
    new Option("the server's choice", ""),
    ...engines.map(({ name, draws, missing }) => {
      const option = new Option(draws === "picture" ? `${name}, from a picture` : name, name);
      option.disabled = missing !== null;
      option.dataset.draws = draws;
      return option;
    }),
  );
  const missing = engines.filter((engine) => engine.missing);
  setText(byId("job-missing"), missing.map((engine) => engine.missing).join(" "));
  byId("job-missing").hidden = missing.length === 0;
  showKind();
}

/** Whether the engine that is chosen draws a picture of the visitor's. */
export function drawsPicture() {
  return byId("job-engine").selectedOptions[0]?.dataset.draws === "picture";
}

/** Asks for what the chosen engine draws: an avatar or a picture. */
export function showKind() {
  const picture = drawsPicture();
  for (const id of ["job-avatar", "job-avatar-label"]) {
    byId(id).hidden = picture;
  }
  for (const id of ["job-picture", "job-picture-label"]) {
    byId(id).hidden = !picture;
  }
  byId("job-picture").required = picture;
}

export function showSending(busy) {
  byId("job-send").disabled = busy;
  setText(byId("job-send-text"), busy ? "Sending the sound…" : "Make the film");
}

/** Seconds in the words one would say them in. */
function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 90) {
    return `${whole} s`;
  }
  return whole < 5400 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}

function keptWords(untilUnixS) {
  const until = new Date(untilUnixS * 1000);
  return `kept until ${until.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
}

function stateWords(told) {
  switch (told?.state) {
    case "queued":
      return "Waiting for its turn";
    case "running": {
      const left = Number.isFinite(told.seconds_left) ? `, ${duration(told.seconds_left)} left` : "";
      return `${told.frames_done} of ${told.frames} frames${left}`;
    }
    case "done":
      return `Done, ${keptWords(told.kept_until_unix_s)}`;
    case "cancelled":
      return "Cancelled";
    case "failed":
    case "gone":
      return told.error;
    default:
      return "Asking the server…";
  }
}

function rowOf(job) {
  return [...byId("jobs").children].find((row) => row.dataset.id === job.id);
}

/** Brings one job's row up to date. */
export function showJob(job) {
  const row = rowOf(job);
  if (!row) {
    return;
  }
  const { told } = job;
  const state = told?.state ?? "unknown";
  row.dataset.state = state;
  setText(row.querySelector(".job-what"), told?.engine ? [told.avatar, told.engine].filter(Boolean).join(" · ") : "");
  const progress = row.querySelector("progress");
  progress.hidden = !["queued", "running", "done"].includes(state);
  progress.value = told?.frames ? told.frames_done / told.frames : 0;
  progress.setAttribute("aria-label", `Progress of ${job.title}`);
  setText(row.querySelector(".job-state"), stateWords(told));
  const film = row.querySelector(".job-film");
  film.hidden = state !== "done";
  if (told?.result) {
    film.href = told.result;
    film.download = `${job.title.replace(/\.[^.]*$/, "")}.mp4`;
  }
  setText(row.querySelector(".job-end"), ["queued", "running", "unknown"].includes(state) ? "Cancel" : "Remove");
}

/** Says why a job's progress is not known just now. */
export function showTrouble(job, message) {
  const row = rowOf(job);
  if (row) {
    setText(row.querySelector(".job-state"), message);
  }
}

/** Draws the list anew; calls `end(job)` for a row's button. */
export function showJobs(jobs, end) {
  const rows = jobs.map((job) => {
    const row = byId("job-row").content.firstElementChild.cloneNode(true);
    row.dataset.id = job.id;
    setText(row.querySelector(".job-title"), job.title);
    row.querySelector(".job-end").addEventListener("click", () => end(job));
    return row;
  });
  byId("jobs").replaceChildren(...rows);
  byId("jobs-none").hidden = jobs.length > 0;
  jobs.forEach(showJob);
}
