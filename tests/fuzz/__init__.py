"""Files and requests from somebody bent on harm, made by general mutations of valid ones.

    python -m tests.fuzz videos --count 10000 --minutes 5 --state videos.json      # run it again: it goes on
    python -m tests.fuzz annotations --count 5000
    python -m tests.fuzz bodies --count 10000

A case is known by its campaign, seed and number, from which it is made again; no mutated file is kept. What counts as a
fault is what the other side could see or feel: the parent's end, a hang, a traceback, a folder of the server, a child
process or a temporary file that stays. `tests/fuzz/test_fuzz.py` runs some of each.
"""
