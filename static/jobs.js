// The page of films: sends a sound, follows what becomes of it, cancels, fetches.

import { ApiError, deleteJob, getJson, postJob } from "./api.js";
import * as view from "./jobs_view.js";

const { byId } = view;
const KEPT = "visavis.jobs";
// A browser opens about six connections to a server; each stream holds one for as long as its job runs.
const MOST_STREAMS = 2;
const LOOK_MS = 3000;
const STATES = ["queued", "running", "done", "failed", "cancelled"];
// A recorded session to take the sound of, instead of a file.
const RECORDING = new URLSearchParams(location.search).get("recording");
const FINAL = ["done", "failed", "cancelled", "gone"];

/** Newest first: {id, title, told}, where `told` is what the server last said. */
let jobs = [];
const streams = new Map();

/** For tests and the console. */
window.visavisJobs = { jobs: () => jobs, streams };

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    jobs = kept.filter((job) => typeof job.id === "string").map(({ id, title }) => ({ id, title, told: null }));
  } catch {
    jobs = [];
  }
}

function save() {
  try {
    localStorage.setItem(KEPT, JSON.stringify(jobs.map(({ id, title }) => ({ id, title }))));
  } catch {
    view.showNotice("This browser keeps nothing, so the list is gone when you close the page.");
  }
}

// --- what becomes of them --------------------------------------------------------------------------

function isOver(job) {
  return FINAL.includes(job.told?.state);
}

function show() {
  view.showJobs(jobs, end);
}

function tell(job, told) {
  job.told = told;
  if (isOver(job)) {
    streams.get(job.id)?.close();
    streams.delete(job.id);
  }
  view.showJob(job);
}

/** Asks once how far a job is. */
async function look(job) {
  try {
    tell(job, await getJson(`/jobs/${encodeURIComponent(job.id)}`));
  } catch (error) {
    if (error.status === 404) {
      tell(job, { ...job.told, state: "gone", error: error.message });
    } else {
      view.showTrouble(job, error.message);
    }
  }
}

function follow(job) {
  const stream = new EventSource(`/jobs/${encodeURIComponent(job.id)}/events`);
  streams.set(job.id, stream);
  for (const state of STATES) {
    stream.addEventListener(state, ({ data }) => tell(job, JSON.parse(data)));
  }
  stream.addEventListener("error", () => {
    // A lost connection is opened again by the browser; a refused one is not, and `look` learns why.
    if (stream.readyState === EventSource.CLOSED) {
      streams.delete(job.id);
      look(job);
    } else {
      view.showTrouble(job, "The server does not answer; trying again.");
    }
  });
}

/** Streams for those whose turn is next, a look now and then at the others. */
function attend() {
  const open = jobs.filter((job) => !isOver(job)).reverse();
  for (const job of open) {
    if (streams.has(job.id)) {
      continue;
    }
    if (streams.size < MOST_STREAMS) {
      follow(job);
    } else {
      look(job);
    }
  }
}

async function attendForever() {
  attend();
  setTimeout(attendForever, LOOK_MS);
}

// --- the controls ----------------------------------------------------------------------------------

function complain(error) {
  view.showNotice(error instanceof ApiError ? error.message : `Something went wrong: ${error.message}.`);
}

/** Cancels a job that runs, or removes one that is over. */
async function end(job) {
  view.showNotice("");
  try {
    const wasOver = isOver(job);
    if (job.told?.state !== "gone") {
      await deleteJob(job.id).catch((error) => {
        if (error.status !== 404) {
          throw error;
        }
      });
    }
    if (!wasOver) {
      await look(job);
      return;
    }
    jobs = jobs.filter((other) => other !== job);
    save();
    show();
  } catch (error) {
    complain(error);
  }
}

byId("job-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  view.showNotice("");
  view.showSending(true);
  try {
    const [sound] = byId("job-sound").files;
    const told = await postJob(form(sound));
    jobs.unshift({ id: told.id, title: sound?.name ?? "A recorded session", told });
    byId("job-sound").value = "";
    save();
    show();
    attend();
  } catch (error) {
    complain(error);
  } finally {
    view.showSending(false);
  }
});

function form(sound) {
  const parts = new FormData();
  if (RECORDING) {
    parts.append("recording", RECORDING);
  } else {
    parts.append("sound", sound);
  }
  if (view.drawsPicture()) {
    parts.append("picture", byId("job-picture").files[0]);
  } else if (byId("job-avatar").value) {
    parts.append("avatar", byId("job-avatar").value);
  }
  if (byId("job-engine").value) {
    parts.append("engine", byId("job-engine").value);
  }
  return parts;
}

byId("job-engine").addEventListener("change", view.showKind);

async function start() {
  load();
  show();
  attendForever();
  const [list, { engines }] = await Promise.all([getJson("/avatars"), getJson("/jobs/engines")]);
  view.showChoices(list, engines, RECORDING !== null);
}

// Another page of this browser may have sent or removed some.
window.addEventListener("storage", ({ key }) => {
  if (key === KEPT) {
    const told = new Map(jobs.map((job) => [job.id, job.told]));
    load();
    jobs.forEach((job) => {
      job.told = told.get(job.id) ?? null;
    });
    for (const [id, stream] of streams) {
      stream.close();
      streams.delete(id);
    }
    show();
    attend();
  }
});

start().catch(complain);
