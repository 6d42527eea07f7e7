"""Shapeworld: procedurally rendered videos whose truth is known exactly, with queries in varied English.

A clip is a wall with things on it. Things come and go, the wall changes colour, the lights change, the picture fades,
another shot is cut in. All changes fall on the clip's beat (1, 2 or 4 seconds), as QVHighlights' fall on 2 seconds.
"""
