/** The read-only timeline: its parts, how they are wired, and what is drawn when. Editing builds on it (editor_view.js). */

import { buildControls, showPlayer, showTime } from "./controls.js";
import { el, setText } from "./dom.js";
import { followTheme, readColours } from "./draw.js";
import { plural, secondsText, timeText } from "./format.js";
import { PLAYBACK_BINDINGS } from "./key_bindings.js";
import { buildHelp } from "./key_sheet.js";
import { handleKeys, KeyMap } from "./keyboard.js";
import { buildLanes, drawLane, frameLines, LANES } from "./lanes.js";
import { buildAside, buildHead, showAside, showHead } from "./panel.js";
import { Gestures } from "./pointer.js";
import { buildVideoPane, holdPicture, showVideoPane } from "./video_pane.js";
import { State } from "./state.js";
import { FilmStrip } from "./film_strip.js";
import { Player } from "./player.js";

export class TimelineView {
  keys = new KeyMap(PLAYBACK_BINDINGS);

  constructor(root, signal) {
    this.root = root;
    this.signal = signal;
    this.state = new State((parts) => this.render(parts));
  }

  /** Build everything and begin to listen; apart from the constructor, so that a subclass's own fields exist. */
  start() {
    const { root, signal } = this;
    this.strip = new FilmStrip(() => this.state.touch("viewport", "playhead"));
    this.actions = this.buildActions();
    this.buildDom();
    this.player = new Player(this.videoPane.video, this.playerEvents(), signal);
    this.gestures = new Gestures(this);
    handleKeys(this, this.keyTarget);
    this.player.on("click", () => this.clickVideo());
    const resized = new ResizeObserver(() => this.state.touch("viewport", "playhead"));
    resized.observe(this.tracks);
    followTheme(root, () => this.state.touch("theme", "viewport", "playhead"), signal);
    signal.addEventListener("abort", () => {
      resized.disconnect();
      this.state.stop();
      root.replaceChildren();
    });
  }

  // ---- what the keyboard asks (keyboard.js): here keys count while the focus is in the timeline

  get keyTarget() {
    return this.root;
  }

  get keyMode() {
    return null;
  }

  acceptsKey() {
    return true;
  }

  interceptKey() {
    return false;
  }

  countKey() {}

  releaseKey() {}

  // ---- parts; editing replaces some of them

  /** What carries the playhead for the keyboard and for screen readers. */
  get slider() {
    return this.axis;
  }

  /** Which lanes there are, top to bottom. */
  get laneSet() {
    return LANES;
  }

  buildDom() {
    this.head = this.buildHead();
    this.videoPane = buildVideoPane();
    this.controls = buildControls(this.actions);
    this.aside = this.buildSide();
    this.lanes = buildLanes(this.laneSet);
    this.playhead = el("div", { className: "tl-playhead" }, el("div", { className: "tl-grip" }));
    this.pointerLine = el("div", { className: "tl-pointer" });
    this.tracks = el("div", { className: "tl-overlay" }, this.pointerLine, this.playhead);
    this.axis = el("div", { className: "tl-axis" }, ...this.lanes.map((lane) => lane.row), this.tracks);
    this.readout = el("p", { className: "tl-foot" });
    const sign = (className, text) => el("span", {}, el("i", { className }), el("span", { text }));
    const signs = [sign("tl-dash", "uniform share"), sign("tl-blank", "no sampled frame")];
    this.legend = el("div", { className: "tl-legend", attrs: { "aria-hidden": "true" } }, ...signs);
    this.under = el("div", { className: "tl-under" }, this.readout, this.legend);
    this.tip = el("div", { className: "tl-tip", attrs: { "aria-hidden": "true" } });
    this.help = this.buildHelp();
    const left = el("div", { className: "tl-left" }, this.videoPane.node, this.controls.node);
    this.top = el("div", { className: "tl-top" }, left, this.aside.node);
    const attrs = {
      tabindex: "0",
      role: "slider",
      "aria-label": "Playhead",
      "aria-valuemin": "0",
      "aria-keyshortcuts": this.shortcuts,
    };
    for (const [name, value] of Object.entries(attrs)) this.slider.setAttribute(name, value);
    this.root.removeAttribute("style");
    this.root.replaceChildren(...this.arrangement());
  }

  get shortcuts() {
    return "Space ArrowLeft ArrowRight ArrowUp ArrowDown Enter F ?";
  }

  buildHead() {
    return buildHead();
  }

  buildSide() {
    return buildAside(this.actions);
  }

  buildHelp() {
    return buildHelp();
  }

  openHelp() {
    this.help.showModal();
  }

  arrangement() {
    return [this.head.node, this.top, this.axis, this.under, this.tip, this.help];
  }

  playerEvents() {
    return {
      time: (time_s, frame_idx, truth) => {
        this.state.playhead_s = time_s;
        this.state.frame_idx = frame_idx;
        this.state.truth = truth;
        if (this.state.playing && this.state.viewport.follow(time_s)) this.state.touch("viewport");
        this.state.touch("playhead");
      },
      state: () => this.state.touch("player"),
      changeOver: () => holdPicture(this.videoPane),
      swap: (video) => (this.videoPane.video = video),
      failure: (message) => {
        this.failure = message;
        this.state.touch("player", "playhead");
      },
    };
  }

  buildActions() {
    const { state } = this;
    const redraw = () => state.touch("viewport", "playhead");
    const withMoments = (run) => () => state.value.moments.length > 0 && run();
    return {
      toggle: () => this.player.toggle(),
      step: (count) => this.player.step(count, this.stops()),
      seekTo: (time_s) => this.seekVisibly(time_s),
      seekBy: (delta_s) => this.seekVisibly(this.player.time_s + delta_s),
      scrub: (time_s) => this.player.seek(time_s),
      mute: () => (this.player.video.muted = !this.player.video.muted),
      volume: (change) => this.changeVolume(change),
      rate: (speed) => (this.player.video.playbackRate = speed),
      previousMoment: withMoments(() => this.selectMoment(this.neighbour(-1))),
      nextMoment: withMoments(() => this.selectMoment(this.neighbour(1))),
      playSelected: withMoments(() =>
        this.playMoment(
          state.selected_idx >= 0 ? state.selected_idx : Math.max(0, state.momentAt(this.player.time_s)),
        ),
      ),
      playMoment: (idx) => this.playMoment(idx),
      playWindow: (window) => this.play({ ...window, idx: -1 }),
      click: (lane, time_s) => this.click(lane, time_s),
      fit: () => (state.viewport.fit(), redraw()),
      pan: (delta_s) => (state.viewport.panBy(delta_s), redraw()),
      zoomAt: (time_s, factor) => (state.viewport.zoomAt(time_s, factor), redraw()),
      zoom: (factor) => {
        const { viewport, playhead_s } = state;
        const isVisible = playhead_s >= viewport.start_s && playhead_s <= viewport.end_s;
        viewport.zoomAt(isVisible ? playhead_s : (viewport.start_s + viewport.end_s) / 2, factor);
        redraw();
      },
      hover: (hover) => {
        if (hover === null && state.hover === null) return;
        state.hover = hover;
        state.touch("hover");
      },
      help: () => (this.help.open ? this.help.close() : this.openHelp()),
    };
  }

  /** Louder or quieter by a share of the whole; louder turns the sound on. */
  changeVolume(change) {
    const { video } = this.player;
    video.volume = Math.min(1, Math.max(0, Math.round((video.volume + change) * 10) / 10));
    if (change > 0) video.muted = false;
  }

  stops() {
    return this.strip.ready ? this.strip.times_s : (this.state.value.frames?.times_s ?? []);
  }

  seekVisibly(time_s) {
    this.player.seek(time_s);
    if (this.state.viewport.follow(this.player.time_s)) this.state.touch("viewport", "playhead");
  }

  click(lane, time_s) {
    const others = lane.startsWith("model-") ? this.state.value.lanes?.[Number(lane.slice(6))]?.moments : null;
    const other = others?.find((moment) => time_s >= moment.start_s && time_s < moment.end_s);
    if (other) return this.play({ ...other, idx: -1 });
    const idx = lane === "moments" ? this.state.momentAt(time_s) : -1;
    if (idx >= 0) this.playMoment(idx);
    else this.player.seek(time_s);
    return undefined;
  }

  clickVideo() {
    this.slider.focus({ preventScroll: true });
    this.player.toggle();
  }

  /** The moment before or after the selected one, or else before or after the playhead; it stops at the ends. */
  neighbour(direction) {
    const { moments } = this.state.value;
    const { selected_idx } = this.state;
    if (selected_idx >= 0) return Math.min(moments.length - 1, Math.max(0, selected_idx + direction));
    const here = this.player.time_s;
    const idx =
      direction > 0
        ? moments.findIndex((m) => m.start_s >= here - 1e-6)
        : moments.findLastIndex((m) => m.start_s <= here + 1e-6);
    return idx >= 0 ? idx : direction > 0 ? moments.length - 1 : 0;
  }

  selectMoment(idx) {
    this.state.selected_idx = idx;
    this.player.pause();
    this.seekVisibly(this.state.value.moments[idx].start_s);
    if (this.aside.node.contains(document.activeElement))
      this.aside.node.querySelectorAll("button.tl-item")[idx]?.focus();
    this.state.touch("viewport", "value");
  }

  playMoment(idx) {
    const moment = this.state.value.moments[idx];
    if (!moment) return;
    this.state.selected_idx = idx;
    this.play({ ...moment, idx });
  }

  play(range) {
    this.player.playRange(range);
    if (this.state.viewport.follow(range.start_s)) this.state.touch("viewport");
    this.state.touch("value", "player");
  }

  render(parts) {
    const { state } = this;
    if (parts.has("value")) this.showValue();
    if (parts.has("value") || parts.has("player")) this.drawPlayer();
    if (parts.has("theme") || !this.colours) this.colours = readColours(this.root);
    if (parts.has("viewport") || parts.has("value") || parts.has("theme")) this.drawAxis();
    if (parts.has("playhead") || parts.has("viewport")) this.drawPlayhead();
    if (parts.has("hover") || parts.has("viewport")) this.drawHover();
    if (parts.has("player") && !state.playing) this.speak();
  }

  showValue() {
    const { state } = this;
    if (this.player.time_s > state.duration_s) this.player.seek(0);
    const url = state.value.video?.url ?? null;
    if (this.url !== url) this.failure = null;
    this.url = url;
    this.player.load(state.value.video, state.duration_s);
    this.strip.load(state.value.strip, state.value.video?.duration_s);
    const answered = state.refused ? "refused" : state.value.state;
    this.root.dataset.state = state.unknown ? "unknown" : answered;
    this.root.dataset.compared = String(Boolean(state.value.lanes?.length));
    this.slider.setAttribute("aria-valuemax", secondsText(state.duration_s, 2));
    this.slider.setAttribute("aria-disabled", String(!state.hasAxis));
    this.root.dataset.axis = String(state.hasAxis);
    this.legend.hidden = !state.value.frames;
    if (state.isNewAnswer && state.value.moments[state.value.selected] && !this.player.going)
      this.selectMoment(state.value.selected);
    state.isNewAnswer = false;
    this.showWords();
  }

  showWords() {
    showHead(this.head, this.state);
    showAside(this.aside, this.state);
  }

  drawPlayer() {
    const { state } = this;
    state.playing = this.player.playing;
    state.playingRange = this.player.range;
    state.playable = this.player.playable;
    showPlayer(this.controls, state, this.player);
    showVideoPane(this.videoPane, state, this.player, this.failure, this.strip);
    this.drawAxisParts((lane) => lane.place);
  }

  drawAxis() {
    this.state.viewport.width = Math.max(1, this.tracks.clientWidth);
    this.root.dataset.zoomed = String(!this.state.viewport.isFit);
    this.drawAxisParts(() => true);
  }

  drawAxisParts(isStale) {
    this.colours ??= readColours(this.root);
    for (const lane of this.lanes) if (isStale(lane)) drawLane(lane, this.state, this.colours, this.strip);
  }

  drawPlayhead() {
    const { state } = this;
    const x = state.viewport.x(state.playhead_s);
    this.playhead.hidden = !state.hasAxis || x < -1 || x > state.viewport.width + 1;
    this.playhead.style.transform = `translateX(${x}px)`;
    showTime(this.controls, state);
    showVideoPane(this.videoPane, state, this.player, this.failure, this.strip);
    setText(this.readout, this.foot());
    if (!state.playing) this.speak();
  }

  foot() {
    const { value, playhead_s, segments } = this.state;
    if (!value.frames) return "";
    const part = this.state.segmentAt(playhead_s);
    if (part) return frameLines(value.frames, part.idx).join(" · ");
    return segments.length ? "At the playhead: no sampled frame, the model did not look here" : "";
  }

  /** The playhead for a screen reader, only while nothing plays. */
  speak() {
    const { playhead_s, frame_idx, value } = this.state;
    const part = this.state.segmentAt(playhead_s);
    const inside = this.state.momentAt(playhead_s);
    const words = [`${secondsText(playhead_s, 2)} seconds`];
    if (frame_idx !== null) words.push(`frame ${frame_idx}`);
    if (inside >= 0) words.push(`in moment ${inside + 1}`);
    if (part) words.push(plural(value.frames.tokens[part.idx], "token"));
    this.slider.setAttribute("aria-valuenow", secondsText(playhead_s, 2));
    this.slider.setAttribute("aria-valuetext", words.join(", "));
  }

  drawHover() {
    const { hover, viewport } = this.state;
    const lane = hover && this.lanes.find((entry) => entry.id === hover.lane);
    const isOnAxis = this.state.hasAxis && hover?.time_s >= 0 && hover.time_s <= viewport.duration_s;
    this.pointerLine.hidden = this.tip.hidden = !lane || lane.id === "minimap" || !isOnAxis;
    if (this.tip.hidden) return;
    this.pointerLine.style.transform = `translateX(${viewport.x(hover.time_s)}px)`;
    const lines = lane.hover(this.state, hover.time_s, hover.share) ?? [timeText(hover.time_s)];
    this.tip.replaceChildren(...lines.map((line) => el("div", { text: line })));
    const box = this.root.getBoundingClientRect();
    const left = Math.min(Math.max(4, hover.clientX - box.left + 14), box.width - this.tip.offsetWidth - 4);
    this.tip.style.transform = `translate(${left}px, ${hover.clientY - box.top + 18}px)`;
  }
}
