/** What the pointer is on in a lane of moments, in CSS pixels, whatever the zoom. */

const OUTSIDE_PX = 10;
const INSIDE_PX = 10;
const ROOM_PX = 40;

/**
 * `boxes` are { id, left, right }. Gives { id, edge } on an edge's zone, { id, edge: null } inside a moment, or null.
 * The zone reaches 10 px outside, and 10 px inside while the moment is wider than 40 px. The selected moment's edges
 * win; then the moment that the pointer is in; then the nearest.
 */
export function hitAt(x, boxes, selected_id) {
  let best = null;
  for (const box of boxes) {
    const inside = box.right - box.left > ROOM_PX ? INSIDE_PX : 0;
    const zones = [
      ["start", box.left, box.left - OUTSIDE_PX, box.left + inside],
      ["end", box.right, box.right - inside, box.right + OUTSIDE_PX],
    ];
    for (const [edge, at, from, to] of zones) {
      if (x < from || x > to) continue;
      const within = x >= box.left && x <= box.right;
      const hit = { id: box.id, edge, away: Math.abs(x - at), own: box.id === selected_id, within };
      if (!best || beats(hit, best)) best = hit;
    }
  }
  const body = boxes.find((box) => x >= box.left && x <= box.right);
  if (best && (best.own || !body || body.id === best.id || best.within))
    return { id: best.id, edge: best.edge };
  return body ? { id: body.id, edge: null } : null;
}

function beats(a, b) {
  if (a.own !== b.own) return a.own;
  if (a.within !== b.within) return a.within;
  return a.away < b.away;
}
