"""Errors the user can mend. Each message is a sentence that names the cause and the fix."""


class VisavisError(Exception):
    """Root of every error visavis raises on purpose; ``str(error)`` is fit to show to a user."""


class AvatarError(VisavisError):
    """An avatar is unknown, incomplete or damaged."""


class CheckpointError(VisavisError):
    """Weights are missing, damaged, or of another architecture."""


class MediaError(VisavisError):
    """A sound or picture file cannot be read or written."""
