"""Tempo Studio as a Gradio Space: serves the app to everybody, as visitors.

This file and README.md stand at the top of the Space, beside the packages. Python takes the package `app` before this
file of the same name.
"""

import os
import sys

from app.__main__ import main

if __name__ == "__main__":
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    sys.exit(main(["--host", host, "--port", port, "--allow-anonymous-visitors", *sys.argv[1:]]))
