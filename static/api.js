// HTTP requests whose failures are sentences fit to show.

export class ApiError extends Error {
  /**
   * @param {string} message a sentence
   * @param {{retry?: boolean, afterS?: number, status?: number}} [options] whether trying again may help,
   *   and how long the server asked to wait
   */
  constructor(message, { retry = false, afterS = 0, status = 0 } = {}) {
    super(message);
    this.retry = retry;
    this.afterS = afterS;
    this.status = status;
  }
}

async function failure(response) {
  let sentence = "";
  try {
    sentence = (await response.json()).error ?? "";
  } catch {
    // The body is not JSON: a proxy answered in the server's place, so say what we know.
  }
  const { status } = response;
  if (status === 503) {
    sentence ||= "All places on the server are taken.";
  }
  sentence ||= status >= 500 ? `The server has a fault (HTTP ${status}).` : `The server refused (HTTP ${status}).`;
  return new ApiError(sentence, {
    status,
    retry: status >= 500 || status === 429,
    afterS: Number(response.headers.get("Retry-After")) || 0,
  });
}

/** Asks the server and gives the decoded JSON; throws ApiError. */
export async function getJson(path, init = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...init });
  } catch {
    throw new ApiError("The server does not answer. Check that it is running and that you are online.", {
      retry: true,
    });
  }
  if (!response.ok) {
    throw await failure(response);
  }
  return response.status === 204 ? null : response.json();
}

/** Makes an avatar of a file; resolves when it is made. */
export function postAvatar(form) {
  return getJson("/avatars", { method: "POST", body: form });
}

export function deleteAvatar(name) {
  return getJson(`/avatars/${encodeURIComponent(name)}`, { method: "DELETE" });
}

/** Queues a film; the body is a form with its sound. */
export function postJob(form) {
  return getJson("/jobs", { method: "POST", body: form });
}

/** Cancels a film that is not finished, or removes it. */
export function deleteJob(id) {
  return getJson(`/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export function postJson(path, body) {
  return getJson(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** Ends a session; nobody waits for the answer, and `keepalive` lets it outlive the page. */
export function endSession(id) {
  fetch(`/sessions/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true }).catch(() => {
    // The server is gone, and the session with it.
  });
}
