"""Offline renders that outlive the process: a queue in SQLite, workers that take turns, results over HTTP.

A job is a row and a folder. Its frames are drawn in chunks, each a file that is whole or not there, and each drawn
from the sound and the chunk's number alone; so whoever goes on after a crash draws what would have been drawn anyway.
"""
