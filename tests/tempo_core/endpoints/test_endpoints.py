"""A model behind a server: what it is sent, what is made of its answers, and what is said when it gives none."""

import base64
import io
import json
import logging
import shutil
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
from PIL import Image

from tempo_core.__main__ import main
from tempo_core.answers import AnswerError
from tempo_core.backend import open_backend
from tempo_core.checkpoint import SHIPPED, SHIPPED_FOLDERS
from tempo_core.endpoints import EndpointError, open_endpoint
from tempo_core.endpoints.client import KEY_VARIABLE, Address, EndpointClient
from tempo_core.endpoints.engine import NO_CONFIDENCE, STILLS, endpoint_choice
from tempo_core.endpoints.messages import Picture, with_stills
from tempo_core.endpoints.probabilities import TokenLogprob, first_choice
from tempo_core.engine import Answer, ground, load_engine
from tempo_core.errors import Cancelled, InputError
from tempo_core.loading import load_tokenizer
from tempo_core.protocols import NAMES, protocol_named
from tempo_core.protocols.base import IMAGE_PAD, VISION_END, VISION_START, Token, prompt_ids
from tests.openai_server import FakeServer, Reply, completion, fake_server, token

QUERY = "a yellow square jumps"
GOOD = "The event happens in 1.0 - 3.0 seconds."
TOKENS = [
    token("The event happens in ", -0.1),
    token("1.0", -0.5),
    token(" - ", 0.0),
    token("3", -0.25),
    token(".0", -0.25),
    token(" seconds.", 0.0),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with fake_server() as fake:
        yield fake


def parts_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    return next(message["content"] for message in body["messages"] if message["role"] == "user")


def test_an_endpoint_is_sent_the_frames_with_their_true_times(server: FakeServer, clip: Path) -> None:
    server.replies = [completion(GOOD)]
    engine = open_backend(server.address)
    answer, context = ground(engine, clip, QUERY)
    assert [(m.start_s, m.end_s) for m in answer.moments] == [(1.0, 3.0)]
    (body,) = server.bodies
    assert body["model"] == "TencentARC/TimeLens-8B"
    assert body["temperature"] == 0
    parts = parts_of(body)
    texts = [part["text"] for part in parts if part["type"] == "text"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert len(urls) == len(context.frame_times_s)
    # one frame a second, as many pictures as the checkpoint has groups of two
    assert texts[: len(urls)] == [f"<{time_s:.1f} seconds>" for time_s in context.frame_times_s]
    assert texts[len(urls)].startswith(
        "Please find the visual event described by the sentence 'a yellow square"
    )
    sizes = {Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in urls}
    assert sizes == {tuple(reversed(context.allocation.sizes_px[0].tolist()))}
    assert [record["stamp"] for record in context.stamp_records] == texts[: len(urls)]
    assert all(len(str(record["sha256"])) == 64 for record in context.stamp_records)
    # the picture that is sent is the one that was sampled: the square jumps after three seconds
    frames = [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]
    changes = [np.abs(a.astype(int) - b.astype(int)).max() for a, b in pairwise(frames)]
    assert int(np.argmax(changes)) == next(k for k, t in enumerate(context.frame_times_s) if t >= 3) - 1


def test_the_next_question_sends_the_same_pictures(server: FakeServer, clip: Path) -> None:
    server.replies = [completion(GOOD)]
    engine = open_backend(server.address)
    _, context = ground(engine, clip, QUERY)
    engine.ask(context, "a blue circle")
    first, second = (parts_of(body) for body in server.bodies)
    assert first[:-1] == second[:-1]
    assert "a blue circle" in second[-1]["text"]
    assert context.cache_bytes() > 1000
    with pytest.raises(InputError, match="Read the video again"):
        open_endpoint(server.address, protocol="timelens2").ask(context, QUERY)


def test_without_logprobs_there_is_no_confidence(server: FakeServer, clip: Path) -> None:
    server.replies = [completion(GOOD)]
    answer, _ = ground(open_endpoint(server.address), clip, QUERY)
    assert answer.confidences == [None]
    assert answer.relevance is None
    assert answer.ranked == []
    assert NO_CONFIDENCE in answer.notes
    assert len(server.bodies) == 1
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer


def test_logprobs_become_confidence_and_relevance(server: FakeServer, clip: Path) -> None:
    yes = completion("Yes", logprobs=[token("Yes", np.log(0.6), No=np.log(0.2))])
    server.replies = [completion(GOOD, logprobs=TOKENS), yes]
    answer, _ = ground(open_endpoint(server.address), clip, QUERY)
    assert answer.confidences == pytest.approx([np.exp(-1.0)])
    assert answer.relevance == pytest.approx(0.75)
    assert answer.ranked == [(answer.moments[0], answer.confidences[0])]
    assert "never taught to refuse" in " ".join(answer.notes)
    question, verification = server.bodies
    assert verification["max_tokens"] == 1
    assert parts_of(question)[:-1] == parts_of(verification)[:-1]
    assert "Yes or No" in parts_of(verification)[-1]["text"]


def test_a_protocol_that_refuses_takes_p_relevant_from_its_first_choice(
    server: FakeServer, clip: Path
) -> None:
    rows = [token("No", np.log(0.7), From=np.log(0.1)), token(" relevant moment", 0.0), token(".", 0.0)]
    server.replies = [completion("No relevant moment.", logprobs=rows)]
    answer, _ = ground(open_endpoint(server.address, protocol="tempo"), clip, QUERY)
    assert answer.refused
    assert answer.relevance == pytest.approx(0.125)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("alternatives", "relevance"),
    [
        ({"06": np.log(0.5), ".0": np.log(0.3)}, None),  # llama.cpp's likeliest are those without the grammar
        ({"No": np.log(0.3), "06": np.log(0.02)}, 1 / 16),  # "From" has at most what the last of these has
        ({"From": np.log(0.3), "No": np.log(0.1)}, 0.75),
    ],
)
def test_p_relevant_is_never_read_behind_the_place_where_answers_part(
    alternatives: dict[str, float], relevance: float | None
) -> None:
    form = protocol_named("tempo").answer
    first = TokenLogprob("No", alternatives.get("No", -20.0), tuple(alternatives.items()))
    rows = [first, *(TokenLogprob(text, 0.0, ((text, 0.0),)) for text in (" relevant", " moment", "."))]
    assert first_choice("No relevant moment.", form, rows) == pytest.approx(relevance)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_an_answer_that_the_server_takes_for_a_thought_is_read(
    server: FakeServer, clip: Path, field: str
) -> None:
    status, body, headers = completion("", logprobs=TOKENS)
    body["choices"][0]["message"][field] = GOOD
    server.replies = [(status, body, headers), completion("Yes")]
    answer, _ = ground(open_endpoint(server.address), clip, QUERY)
    assert [(m.start_s, m.end_s) for m in answer.moments] == [(1.0, 3.0)]
    assert answer.confidences == pytest.approx([np.exp(-1.0)])


@pytest.mark.parametrize(
    "text",
    ["", "Yes.", "From 1 to 3", GOOD + " I think.", "The event happens in 3.0 - 1.0 seconds.", "[[1, 3]]"],
)
def test_outside_the_grammar_there_is_no_answer(server: FakeServer, clip: Path, text: str) -> None:
    server.replies = [completion(text)]
    with pytest.raises(AnswerError, match="answered outside of its grammar, so there is no answer"):
        ground(open_endpoint(server.address), clip, QUERY)


def test_a_served_checkpoint_is_asked_as_its_own_folder_says(server: FakeServer, clip: Path) -> None:
    local = load_engine(SHIPPED, four_bit=False, device="cpu")
    server.replies = [completion("From 0001.0 to 0003.0.")]
    served = open_backend(server.address, settings="tempo-tiny")
    bare = open_endpoint(server.address, protocol="tempo")
    query = "The RED square, please!"
    contexts = [ground(engine, clip, query)[1] for engine in (local, served, bare)]
    as_trained, as_served, unknown = (context.allocation.tokens.tolist() for context in contexts)
    assert as_served == as_trained != unknown
    body, body_of_unknown = server.bodies
    assert parts_of(body)[-1]["text"].endswith("\nQuery: the red square")
    assert parts_of(body_of_unknown)[-1]["text"].endswith(f"{bare.defaults.instruction}Query: {query}")
    assert local.vocabulary is not None
    described = served.describe()
    assert (described["settings"], described["words"]) == ("tempo-tiny", len(local.vocabulary.content))
    assert served.step_for(500) == local.step_for(500)

    answer = served.ask(contexts[1], "a dog barks")
    assert answer.understood is not None
    assert answer.understood.words == ("dog", "barks")
    assert len(server.bodies) == 2, "a question in words that it does not know is not sent"


def test_an_adapter_is_served_with_what_it_was_taught(server: FakeServer, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "tempo.json").write_text('{"protocol": "tempo"}')
    shutil.copy(SHIPPED / "vocabulary.json", tmp_path)
    words = json.loads((tmp_path / "vocabulary.json").read_text())
    words["content"].append("dog")
    (tmp_path / "vocabulary.json").write_text(json.dumps(words))
    server.replies = [completion("From 0001.0 to 0003.0.")]
    engine = open_endpoint(server.address, checkpoint=SHIPPED, adapter=tmp_path)
    answer, _ = ground(engine, clip, "a dog")
    assert answer.moments
    assert answer.understood is not None
    assert answer.understood.is_understood


def test_settings_need_no_weights(server: FakeServer, tmp_path: Path) -> None:
    for name in ("config.json", "tempo.json", "vocabulary.json"):
        shutil.copy(SHIPPED / name, tmp_path)
    engine = open_endpoint(server.address, checkpoint=tmp_path)
    assert (engine.protocol.name, engine.defaults.max_frames) == ("tempo", 40)


@pytest.mark.parametrize("name", sorted(SHIPPED_FOLDERS))
def test_a_server_writes_the_prompt_of_a_shipped_checkpoint(
    name: str, server: FakeServer, clip: Path
) -> None:
    """What its chat template makes of the messages, held against the pieces of the protocol."""
    server.replies = [completion("From 0001.0 to 0003.0.")]
    engine = open_endpoint(server.address, checkpoint=name)
    tokenizer = load_tokenizer(SHIPPED_FOLDERS[name])
    _, context = ground(engine, clip, "it fades to black")
    picture = VISION_START + IMAGE_PAD + VISION_END
    pieces: list[str] = []
    for piece in [*context.cache, *engine.protocol.question("it fades to black")]:
        pieces += map(Token, (VISION_START, IMAGE_PAD, VISION_END)) if isinstance(piece, Picture) else [piece]
    written = tokenizer.apply_chat_template(
        server.bodies[0]["messages"], tokenize=False, add_generation_prompt=True
    )
    assert written == "".join(map(str, pieces))
    assert written.count(picture) == len(context.frame_times_s) > 2
    # The server tokenises that as one text, we piece by piece, as the checkpoint was trained.
    assert tokenizer(written, add_special_tokens=False)["input_ids"] == prompt_ids(tokenizer, pieces)


def test_a_cut_answer_is_named(server: FakeServer, clip: Path) -> None:
    server.replies = [completion("The event happens", finish="length")]
    with pytest.raises(AnswerError, match="cut off after 512 tokens"):
        ground(open_endpoint(server.address), clip, QUERY)


@pytest.mark.parametrize(
    ("owner", "field"), [("vllm", "structured_outputs"), ("sglang", "ebnf"), ("llamacpp", "grammar")]
)
def test_a_server_that_takes_a_grammar_gets_it(
    server: FakeServer, clip: Path, owner: str, field: str
) -> None:
    server.owner, server.replies = owner, [completion(GOOD)]
    engine = open_endpoint(server.address)
    _, context = ground(engine, clip, QUERY)
    grammar = server.bodies[0][field]
    assert "root ::= " in (grammar["grammar"] if owner == "vllm" else grammar)
    engine.ask(context, QUERY, constrained=False)
    assert field not in server.bodies[1]


def test_a_thought_that_finds_no_end_is_closed_and_answered(server: FakeServer, clip: Path) -> None:
    answer = "<answer>1.00 to 2.00</answer>"
    cut = '<think>He says "now",\nthen </thi'
    server.replies = [completion(cut, finish="length"), completion(f"{cut}nk>\n{answer}")]
    engine = open_endpoint(server.address, protocol="time_r1")
    closed, _ = ground(engine, clip, QUERY)
    assert [(moment.start_s, moment.end_s) for moment in closed.moments] == [(1.0, 2.0)]
    free, bound = (body["structured_outputs"]["grammar"] for body in server.bodies)
    assert "[^<]*" in free
    assert 'thought ::= "<think>He says \\"now\\",\\nthen </think>\\n"\n' in bound
    assert server.bodies[1]["max_tokens"] > server.bodies[0]["max_tokens"]


def test_without_a_grammar_a_thought_that_finds_no_end_is_no_answer(server: FakeServer, clip: Path) -> None:
    server.owner, server.replies = "openai", [completion("<think>then", finish="length")]
    with pytest.raises(AnswerError, match="cut off"):
        ground(open_endpoint(server.address, protocol="time_r1"), clip, QUERY)
    assert len(server.bodies) == 1


def test_where_no_thought_is_wanted_only_an_empty_one_can_be_written(server: FakeServer, clip: Path) -> None:
    server.replies = [completion("<think>\n</think>\n<answer>1.00 to 2.00</answer>")]
    engine = open_endpoint(server.address, protocol="time_r1")
    _, context = ground(engine, clip, QUERY)
    engine.ask(context, QUERY, thinking_tokens=0)
    grammars = [body["structured_outputs"]["grammar"] for body in server.bodies]
    assert ["[^<]*" in grammar for grammar in grammars] == [True, False]
    assert 'thought ::= "<think>\\n</think>\\n"\n' in grammars[1]


def test_a_field_that_the_server_refuses_is_left_out_from_then_on(server: FakeServer, clip: Path) -> None:
    def particular(body: dict[str, Any]) -> Any:
        for name in ("logprobs", "structured_outputs"):
            if name in body:
                return 400, {"error": {"message": f"Unsupported parameter: '{name}'"}}, {}
        return completion(GOOD)

    server.replies = [particular]
    engine = open_endpoint(server.address)
    assert engine.describe()["guided"]
    _, context = ground(engine, clip, QUERY)
    assert len(server.bodies) == 3
    assert not engine.describe()["guided"]
    engine.ask(context, QUERY)
    assert len(server.bodies) == 4
    assert not {"logprobs", "top_logprobs", "structured_outputs"} & set(server.bodies[-1])


def test_a_server_that_knows_no_template_options_is_asked_without(server: FakeServer, clip: Path) -> None:
    def particular(body: dict[str, Any]) -> Any:
        if "chat_template_kwargs" in body:
            return 400, {"error": {"message": "Unrecognized request argument: chat_template_kwargs"}}, {}
        return completion(GOOD)

    server.replies = [particular]
    answer, _ = ground(open_endpoint(server.address, protocol="qwen3_5"), clip, QUERY)
    assert len(answer.moments) == 1
    assert [("chat_template_kwargs" in body) for body in server.bodies] == [True, False]


def quick(server: FakeServer, **options: Any) -> EndpointClient:
    return EndpointClient(f"{server.url}/v1", first_pause_s=0.001, **options)


def refusal(message: str) -> Reply:
    """How vLLM refuses a request."""
    return 400, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}}, {}


def test_what_may_pass_is_tried_again_under_one_key(server: FakeServer) -> None:
    busy = 503, {"error": {"message": "loading"}}, {}
    server.replies = [busy, (429, {}, {"retry-after": "0"}), completion(GOOD)]
    assert quick(server).complete({})["message"]["content"] == GOOD
    assert len(server.bodies) == 3
    assert len({headers["idempotency-key"] for headers in server.headers}) == 1


@pytest.mark.parametrize(
    ("reply", "message", "tries"),
    [
        (
            (500, {"error": {"message": "out of\nmemory"}}, {}),
            "failed (500: out of memory). Ask again later",
            4,
        ),
        ((429, {}, {"retry-after": "3600"}), "at its limit (429). Ask again in 3600 s", 1),
        ((401, {"error": {"message": "bad key sk-1"}}, {}), "wants a key (401). Put one", 1),
        ((400, {"detail": "too many images"}, {}), "refused the request (400: too many images)", 1),
        (
            (400, {"error": {"message": "request (688 tokens) exceeds the available context size"}}, {}),
            "has no room for so many frames and words at once. Give fewer frames",
            1,
        ),
        (
            (500, {"error": {"message": "image input is not supported - hint: provide the mmproj"}}, {}),
            "takes no pictures (500: image input is not supported - hint: provide the mmproj). Serve the model with",
            1,
        ),
        (
            refusal("Input length (774) exceeds model's maximum context length (480)."),
            "has no room for so many frames and words at once. Give fewer frames",
            1,
        ),
        (
            refusal(
                "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input "
                "tokens."
            ),
            "has no room for so many frames and words at once. Give fewer frames",
            1,
        ),
        (
            refusal("At most 4 image(s) may be provided in one prompt. (parameter=image)"),
            "takes at most 4 pictures in a question. Give fewer frames a second",
            1,
        ),
        (
            refusal(
                "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat "
                "template if the tokenizer does not define one."
            ),
            "has no chat template. Put chat_template.jinja beside",
            1,
        ),
        ((307, {}, {"location": "http://127.0.0.1:1/"}), "sends on to another address (307)", 1),
        ((200, b"<html>", {}), "is no JSON. Check that the address", 1),
        ((200, {"choices": []}, {}), "holds no answer. Check that the address", 1),
    ],
)
def test_every_failure_is_one_clear_line(server: FakeServer, reply: Any, message: str, tries: int) -> None:
    server.replies = [reply]
    with pytest.raises(EndpointError) as caught:
        quick(server).complete({})
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(server.bodies) == tries


def test_an_endpoint_that_is_down_or_slow(server: FakeServer) -> None:
    with pytest.raises(EndpointError, match="cannot be reached"):
        EndpointClient("http://127.0.0.1:9/v1", first_pause_s=0.001).complete({})
    is_over = threading.Event()

    def reply(body: dict[str, Any]) -> Reply:
        is_over.wait(300)
        return completion(GOOD)

    server.replies = [reply]
    with pytest.raises(EndpointError, match=r"gave no answer within 0\.5 s"):
        quick(server, timeout_s=0.5).complete({})
    is_over.set()
    assert len(server.bodies) <= 1  # what may still be at work is not asked twice


def test_a_cancelled_question_closes_its_connection(server: FakeServer) -> None:
    cancel, is_closed, has_replied = threading.Event(), threading.Event(), threading.Event()

    def reply(body: dict[str, Any]) -> Reply:
        """The question is cancelled once it is here, and answered once its connection is closed."""
        cancel.set()
        is_closed.wait(300)
        has_replied.set()
        return completion(GOOD)

    server.replies = [reply]
    with pytest.raises(Cancelled):
        quick(server).complete({}, cancel)
    is_closed.set()
    assert has_replied.wait(300)


def test_the_key_is_sent_and_never_shown(
    server: FakeServer, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret")
    caplog.set_level(logging.DEBUG)
    server.replies = [(400, {"error": {"message": "the key sk-secret is odd"}}, {})]
    engine = open_endpoint(server.address)
    with pytest.raises(EndpointError) as refused:
        ground(engine, clip, QUERY)
    server.replies = [(401, {"error": {"message": "Incorrect API key: sk-secret"}}, {})]
    with pytest.raises(EndpointError, match="does not accept the key") as unknown:
        ground(engine, clip, QUERY)
    assert all(headers["authorization"] == "Bearer sk-secret" for headers in server.headers)
    texts = [str(refused.value), str(unknown.value), caplog.text, json.dumps(engine.describe())]
    assert not any("sk-secret" in text for text in texts)


@pytest.mark.parametrize(
    ("text", "url", "model"),
    [
        ("http://h:1", "http://h:1/v1", None),
        ("https://h/v1/#a/b", "https://h/v1", "a/b"),
        ("HTTPS://h/v1/chat/completions#m", "https://h/v1", "m"),
        ("http://h/x#a%23b", "http://h/x", "a#b"),
    ],
)
def test_addresses(text: str, url: str, model: str | None) -> None:
    assert Address.parse(text) == Address(url=url, model=model)


@pytest.mark.parametrize("text", ["ftp://h/v1", "http://", "http://h:port/v1", "http://h/v1?key=1", "h/v1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError, match="Write it like"):
        Address.parse(text)


def test_a_secret_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match=KEY_VARIABLE) as caught:
        Address.parse("https://me:hunter2@h/v1")
    assert "hunter2" not in str(caught.value)


def test_the_model_is_the_servers_only_one_or_is_named(server: FakeServer) -> None:
    assert open_endpoint(server.url).card.name == "TencentARC/TimeLens-8B"
    server.models = ["a", "b"]
    with pytest.raises(InputError, match=r"serves 2 models \(a, b\). Name one"):
        open_endpoint(server.url)
    with pytest.raises(InputError, match="does not serve 'c'; it serves a, b"):
        open_endpoint(f"{server.url}/v1#c")
    with pytest.raises(InputError, match="adapter"):
        open_backend(f"{server.url}/v1#a", adapter="lora")


def test_how_a_model_is_asked_follows_from_its_name_by_tables_only() -> None:
    assert endpoint_choice("TencentARC/TimeLens-8B", None).is_known
    assert endpoint_choice("Boshenxx/Time-R1-7B@main", None).protocol.name == "time_r1"
    assert endpoint_choice("Qwen/Qwen2.5-VL-7B-Instruct", None).protocol.name == "qwen2_5_vl"
    assert endpoint_choice("x", "timelens2").protocol.name == "timelens2"
    unknown = endpoint_choice("my-qwen2-vl", None)
    assert not unknown.is_known
    assert unknown.protocol.name == "timelens_8b"
    assert "Nothing is known about my-qwen2-vl" in unknown.reason


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("someone/TimeLens-7B-GGUF:Q4_K_M", "timelens_7b"),
        ("Time-R1-7B.i1-IQ3_XS.gguf", "time_r1"),
        ("/home/someone/models/UniTime-bf16-00001-of-00002.gguf", "unitime"),
        ("unsloth/Qwen2.5-VL-7B-Instruct-GGUF:UD-Q4_K_XL", "qwen2_5_vl"),
        ("C:\\models\\Qwen3.5-2B-Q8_0.gguf", "qwen3_5"),
    ],
)
def test_a_models_own_name_stands_in_its_files_name(name: str, protocol: str) -> None:
    assert endpoint_choice(name, None).protocol.name == protocol


def test_a_path_on_the_servers_disk_is_not_shown(server: FakeServer, clip: Path) -> None:
    server.models = ["/home/someone/secret/tiny.gguf"]
    server.replies = [completion("no"), (400, {}, {})]
    engine = open_endpoint(server.url)
    with pytest.raises(AnswerError) as outside:
        ground(engine, clip, QUERY)
    assert server.bodies[0]["model"] == server.models[0]
    with pytest.raises(EndpointError, match=r"of tiny\.gguf refused") as refused:
        ground(engine, clip, QUERY)
    for text in (str(outside.value), str(refused.value), engine.model_id, *engine.notes):
        assert "secret" not in text
        assert "tiny" in text or text == STILLS
    server.models = ["/home/other/tiny.gguf"]
    assert open_endpoint(server.url).model_id != engine.model_id


def test_a_number_in_an_address_is_no_missing_list(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = EndpointClient(f"{server.url}/v1", title="The endpoint gpu.example:4040")
    monkeypatch.setattr(client, "_request", Mock(side_effect=client._failure(httpx.Response(400))))
    with pytest.raises(EndpointError, match=r"gpu\.example:4040 refused the request \(400\)"):
        client.models()
    monkeypatch.setattr(client, "_request", Mock(side_effect=client._failure(httpx.Response(404))))
    assert client.models() is None


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_can_be_sent_with_every_picture_at_its_own_time(
    server: FakeServer, clip: Path, name: str
) -> None:
    trained, protocol = protocol_named(name), with_stills(protocol_named(name))
    timeline = protocol.timeline([0.0, 0.52, 1.3], 2.0)
    first, second = timeline.mark_texts[0][0], timeline.mark_texts[-1][0]
    text = protocol.answer.write([(first, second)])
    server.replies = [completion(text)]
    engine = open_endpoint(server.address, protocol=name)
    from tempo_core.video import sample

    video = sample(clip, at=[0.0, 1.0, 2.0])
    context = engine.encode(video)
    server.replies = [
        completion(
            protocol.answer.write(
                [(t[0], context.timeline.mark_texts[-1][0]) for t in context.timeline.mark_texts[:1]]
            )
        )
    ]
    answer = engine.ask(context, QUERY)
    assert len(answer.moments) == 1
    parts = parts_of(server.bodies[-1])
    pictures = [k for k, part in enumerate(parts) if part["type"] == "image_url"]
    assert len(pictures) == 3
    for k, time_s in zip(pictures, (0.0, 1.0, 2.0), strict=True):
        assert f"{time_s:.1f}" in parts[k - 1]["text"]
    assert all("<|" not in json.dumps(message) for message in server.bodies[-1]["messages"])
    if trained.layout != "frames":
        assert any("single frames" in note for note in answer.notes)


def test_the_commands_ask_an_endpoint(
    server: FakeServer, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.replies = [completion(GOOD)]
    assert main(["ground", str(clip), QUERY, "--endpoint", server.address]) == 0
    out = capsys.readouterr().out
    assert "no confidence" in out
    assert NO_CONFIDENCE in out
    assert main(["ground", str(clip), QUERY, "--endpoint", server.address, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["moments"] == [{"start_s": 1.0, "end_s": 3.0, "confidence": None}]
    assert data["protocol"]["name"] == "timelens_8b"
    assert server.url.partition("//")[2] not in data["model_id"]
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "v1.mp4").write_bytes(clip.read_bytes())
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"qid": 1, "query": QUERY, "vid": "v1"}) + "\n")
    out_path = tmp_path / "out.jsonl"
    argv = ["predict", "--ground-truth", rows, "--videos", tmp_path / "videos", "--out", out_path]
    assert main([*map(str, argv), "--endpoint", server.address]) == 0
    row = json.loads(out_path.read_text())
    assert row["pred_relevant_windows"] == [[1.0, 3.0, 1.0]]
    assert row["confidences"] == [None]


def test_commands_say_in_one_line_what_is_wrong_with_an_endpoint(
    server: FakeServer, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(*argv: str) -> str:
        assert main(["ground", str(clip), QUERY, *argv]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        return err

    assert "no http or https address" in line("--endpoint", "gpu.example")
    assert "no checkpoint folder x" in line("--endpoint", server.address, "--checkpoint", "x")
    assert "folder of its base" in line("--endpoint", server.address, "--adapter", "x")
    assert "takes its server's memory" in line("--endpoint", server.address, "--dry-run")
    server.replies = [completion("I do not know.")]
    assert "no answer" in line("--endpoint", server.address)
