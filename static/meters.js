// The live figures: what the browser measures (getStats) joined with what the server says of itself.

// Counters are compared over this many polls, so that a figure is steady and still follows within seconds.
const SPAN = 4;

function last(values) {
  return values[values.length - 1];
}

/** The few counters of an RTCStatsReport that matter here. */
function read(report) {
  const found = { atMs: performance.now() };
  let pairId;
  for (const stats of report.values()) {
    if (stats.type === "inbound-rtp") {
      found[stats.kind] = stats;
    } else if (stats.type === "transport") {
      pairId = stats.selectedCandidatePairId;
    }
  }
  found.pair = pairId && report.get(pairId);
  return found;
}

/** Mean time in the jitter buffer between two readings, in ms; null where nothing was played. */
function bufferMs(now, before) {
  const emitted = now?.jitterBufferEmittedCount - (before?.jitterBufferEmittedCount ?? 0);
  const delayS = now?.jitterBufferDelay - (before?.jitterBufferDelay ?? 0);
  return emitted > 0 ? (1000 * delayS) / emitted : null;
}

function sum(values) {
  return values.every(Number.isFinite) ? values.reduce((total, value) => total + value, 0) : null;
}

export class Meters {
  #readings = [];

  /**
   * Takes one reading; `server` is the body of `GET /sessions/{id}`, or null where it did not answer.
   * Every figure may be null: not known (yet).
   * `skewMs` is positive where the sound is ahead of the picture.
   */
  add(report, server) {
    this.#readings = [...this.#readings.slice(1 - SPAN), read(report)];
    const [first] = this.#readings;
    const now = last(this.#readings);
    const before = this.#readings.at(-2);
    const networkMs = Number.isFinite(now.pair?.currentRoundTripTime) ? 1000 * now.pair.currentRoundTripTime : null;
    const browserMs = bufferMs(now.audio, first === now ? null : first.audio);
    const { total: serverMs = null, ...serverParts } = server?.delay_ms ?? {};
    const spanS = (now.atMs - first.atMs) / 1000;
    const frames = now.video?.framesDecoded - first.video?.framesDecoded;
    return {
      fps: spanS > 0 && Number.isFinite(frames) ? frames / spanS : null,
      skewMs: sum([now.audio?.estimatedPlayoutTimestamp, -now.video?.estimatedPlayoutTimestamp]),
      delayMs: sum([networkMs, serverMs, browserMs]),
      networkMs,
      browserMs,
      serverMs,
      serverParts,
      framesDropped: server?.frames_dropped ?? null,
      stalled: before !== undefined && now.pair?.bytesReceived === before.pair?.bytesReceived,
    };
  }
}
