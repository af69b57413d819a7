"""Media plane: jitter buffer, ingress, playout, tracks, and every patch to aiortc."""
