"""Speech-like sound made from a seed."""

from models.audio.babble import babble as voice

__all__ = ["voice"]
