"""The rigged head, its renderer, speech with phone timings, and the training corpus."""
