"""How good the shipped talking face is, measured as it is deployed."""
