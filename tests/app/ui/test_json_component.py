"""What the browser is told about a component that a script draws."""

from pathlib import Path

from app.ui.json_component import json_component


def test_the_browser_gets_the_value_the_script_and_no_style_of_gradio(tmp_path: Path) -> None:
    script = tmp_path / "rows.js"
    script.write_text("const own = 1;")
    config = json_component(script, "the-rows", value='{"rows": []}', visible=False).get_config()
    assert (config["value"], config["elem_id"], config["elem_classes"]) == (
        '{"rows": []}',
        "the-rows",
        ["tempo-rows"],
    )
    assert config["js_on_load"].endswith("const own = 1;")
    assert (config["apply_default_css"], config["visible"]) == (False, False)
