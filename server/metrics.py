"""What the server counts, in Prometheus' terms: base units, one prefix, one registry a server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_MILLISECONDS = tuple(ms / 1000 for ms in (1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 200, 400))


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.sessions = Gauge("visavis_sessions", "Sessions now, reserved ones included.", registry=registry)
        self.sessions_opened = Counter(
            "visavis_sessions_opened", "Sessions answered since the start.", registry=registry
        )
        self.sessions_closed = Counter(
            "visavis_sessions_closed", "Sessions ended, by reason.", ["reason"], registry=registry
        )
        self.offers_refused = Counter(
            "visavis_offers_refused", "Offers refused, by HTTP status.", ["status"], registry=registry
        )
        self.frames_sent = Counter("visavis_frames_sent", "Video frames sent.", registry=registry)
        self.frames_dropped = Counter(
            "visavis_frames_dropped", "Video frames not sent, by reason.", ["reason"], registry=registry
        )
        self.frames_given_up = Counter(
            "visavis_frames_given_up",
            "Frames not drawn because they could not be ready; each is dropped as late when it is due.",
            registry=registry,
        )
        self.engine_errors = Counter("visavis_engine_errors", "Batches an engine failed on.", registry=registry)
        self.sound_discarded = Counter(
            "visavis_sound_discarded", "Outgoing 20 ms sound frames nobody took.", registry=registry
        )
        self.render_seconds = Histogram(
            "visavis_render_seconds",
            "Time to draw and compose one batch.",
            buckets=_MILLISECONDS,
            registry=registry,
        )
        self.batch_frames = Histogram(
            "visavis_batch_frames", "Frames a batch.", buckets=(1, 2, 4, 8, 16), registry=registry
        )
        self.stage_delay = Histogram(
            "visavis_stage_delay_seconds",
            "Delay each stage adds to the sound, once a second a session; the sum is mouth to ear without the network.",
            ["stage"],
            buckets=_MILLISECONDS,
            registry=registry,
        )
        self.tick_lag_seconds = Histogram(
            "visavis_tick_lag_seconds",
            "How late the event loop ran a session's 20 ms tick.",
            buckets=_MILLISECONDS,
            registry=registry,
        )

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
