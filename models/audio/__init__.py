"""Streaming audio: chunks, ring buffer, mel spectrogram."""
