"""A folder of clips that is asked as a whole: encoded once, kept on disk, moments ranked over all clips.

`contexts` keeps encoded clips in files, `index` encodes a folder, `search` asks it, `reports` writes the answer as
JSON, CSV or a page, `editing` as an EDL or FCPXML, `cutting` as clips. Contracts and figures: docs/library.md.
"""
