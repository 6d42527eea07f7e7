"""Models behind an OpenAI-compatible server (vLLM, SGLang, llama.cpp) as backends.

    engine = open_endpoint("http://gpu.example:8000/v1#Qwen/Qwen3-VL-8B-Instruct")
    answer, video = ground(engine, "clip.mp4", "a man opens a door")

`client` speaks HTTP, `messages` writes a protocol's prompt as a chat, `guided` its answers as a grammar for the server,
`probabilities` reads log-probabilities, `names` the names of models, and `engine` puts them together. Nothing is sent
before an address was named.
"""

from tempo_core.endpoints.client import EndpointError
from tempo_core.endpoints.engine import EndpointEngine, open_endpoint

__all__ = ["EndpointEngine", "EndpointError", "open_endpoint"]
