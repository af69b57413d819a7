"""The visavis server: signaling, media, sessions, command line."""
