/** How times, counts and probabilities are written. */

import { storage } from "./storage.js";

/** 83.4 -> "1:23.40"; hours only when there are any. */
export function clock(seconds, digits = 2) {
  const scale = 10 ** digits;
  const units = Math.round(Math.max(0, seconds) * scale);
  const whole = Math.floor(units / scale);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = String(whole % 60).padStart(2, "0");
  const fraction = digits > 0 ? `.${String(units % scale).padStart(digits, "0")}` : "";
  return hours > 0
    ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}${fraction}`
    : `${minutes}:${rest}${fraction}`;
}

const UNIT_KEY = "tempo.times";

/** How this browser writes times: "clock", as in 11:00.00, or "seconds", as in 660.00. */
export const timeUnit = {
  get value() {
    return storage.getItem(UNIT_KEY) === "seconds" ? "seconds" : "clock";
  },
  set value(unit) {
    storage.setItem(UNIT_KEY, unit);
  },
};

/** A time of the clip in the unit that was chosen: "11:00.00" or "660.00". */
export function timeText(seconds, digits = 2) {
  return timeUnit.value === "seconds" ? secondsText(seconds, digits) : clock(seconds, digits);
}

/** Seconds of a time as people type it, whatever the unit: "11:00.5", "1:02:03", "660.5", "660,5"; NaN for anything else. */
export function parseTime(text) {
  const parts = text.trim().replace(",", ".").split(":");
  const isTime = parts.length <= 3 && parts.every((part, idx) => (idx < parts.length - 1 ? /^\d+$/ : /^\d*\.?\d+$|^\d+\.$/).test(part));
  return isTime ? parts.reduce((total_s, part) => total_s * 60 + Number(part), 0) : NaN;
}

/** 24.3 -> "24.3", 30 -> "30.0". */
export function secondsText(seconds, digits = 1) {
  return seconds.toFixed(digits);
}

/** A probability as a whole percent that never rounds to a certainty it is not. */
export function percent(p) {
  if (p > 0 && p < 0.01) return "<1 %";
  if (p < 1 && p > 0.99) return ">99 %";
  return `${Math.round(p * 100)} %`;
}

/** The same for the ear. */
export function spokenPercent(p) {
  return percent(p).replace("<", "under ").replace(">", "over ").replace("%", "percent");
}

export function span(moment) {
  return `${timeText(moment.start_s, 1)} – ${timeText(moment.end_s, 1)}`;
}

export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** How far a model agrees with people in the row's dataset so far: a value's `worth`. */
export function worthText({ answers, mean_tiou }) {
  if (answers === 0) return "no answer in this dataset yet to compare the model with";
  return `the model overlaps people’s answers by ${mean_tiou.toFixed(2)} in ${plural(answers, "row")} of this dataset`;
}

/** "24.3 to 30.4 seconds" */
export function spokenTimes(start_s, end_s) {
  return `${secondsText(start_s)} to ${secondsText(end_s)} seconds`;
}

/** What kind of answer a row has; the keys are the server's. */
export const VERDICTS = {
  moments: "Moments",
  "no-moment": "No matching moment",
  "cannot-judge": "Cannot judge",
};

/** A moment's confidence in words: a server that gives no probabilities gives none. */
export function confidenceText(p) {
  return p === null ? "no confidence" : `confidence ${percent(p)}`;
}

/** How far a moment is to be trusted; the keys are the server's. */
export const BAND_WORDS = { clear: "clear", possible: "possible", guess: "a guess" };

/** P(relevant) in words; nothing where it is not known. */
export function relevanceText(p) {
  return p === null ? "" : `P(relevant) ${percent(p)}`;
}

/** "Moment 1 of 2, 24.3 to 30.4 seconds, confidence 83 percent" */
export function spokenMoment(moment, idx, count) {
  const times = spokenTimes(moment.start_s, moment.end_s);
  const sure = moment.confidence === null ? "no confidence" : `confidence ${spokenPercent(moment.confidence)}`;
  return [`Moment ${idx + 1} of ${count}`, times, BAND_WORDS[moment.band], sure].filter(Boolean).join(", ");
}
