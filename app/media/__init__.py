"""Clips: the library of normal copies, film strips, shots, and clips of datasets."""
