"""Wav2Lip: networks, losses, training and the live engine."""
