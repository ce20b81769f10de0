/** Rooms and their members; a broadcast makes the chips of its room pulse. */
import { element, liveView, visible } from "./common.js";

/** @typedef {import("./common.js").Model} Model */
/** @typedef {import("./common.js").Content} Content */
/** @typedef {[string, number, string[], number]} Room name, members, the first of them, broadcasts */
/** @typedef {{count: number, sender: string}} Broadcasts how many, and the connection that sent the last one */
/** @typedef {{rooms: Room[], total: number, broadcasts: Map<string, Broadcasts>}} State */
/** @typedef {{element: HTMLElement, count: HTMLElement, sent: HTMLElement, chips: HTMLElement, room: Room | null, broadcasts: number}} Card */

const PULSE = { duration: 600, easing: "ease-out" };

/** @returns {State} */
const create = () => ({ rooms: [], total: 0, broadcasts: new Map() });

/** @param {State} state @param {Content} content */
function receive(state, content) {
  if (content.rooms) {
    state.rooms = content.rooms;
    state.total = content.total;
    const before = state.broadcasts;
    state.broadcasts = new Map(state.rooms.map(([name, , , count]) => [name, { count, sender: before.get(name)?.sender ?? "" }]));
  }
  for (const [name, [count, sender]] of Object.entries(content.broadcasts ?? {})) {
    if (state.broadcasts.has(name)) state.broadcasts.set(name, { count, sender });
  }
}

/** @param {State} state @param {Model} _model @param {HTMLElement} root */
function render(state, _model, root) {
  root.classList.add("wslab-rooms");
  root.dataset.view = "rooms";
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {Map<string, Card>} */
  const cards = new Map();
  const count = element("span", { class: "wslab-dim" });
  const list = element("ul", { "aria-label": "Rooms" });
  const empty = element("div", { class: "wslab-empty" }, "No rooms: one is there while it has members.");
  root.append(
    element("div", { class: "wslab-bar" }, element("h3", {}, "Rooms"), count),
    element("div", { class: "wslab-rooms-scroll", tabindex: 0, role: "region", "aria-label": "Rooms and members" }, list, empty),
  );

  /** @param {string} name @param {number} broadcasts @returns {Card} */
  function newCard(name, broadcasts) {
    const members = element("span", { class: "wslab-badge wslab-ok" });
    const sent = element("span", { class: "wslab-dim" });
    const chips = element("div", { class: "wslab-rooms-chips" });
    const title = element("div", { class: "wslab-rooms-title" }, element("b", {}, visible(name)), members, element("span", { class: "wslab-grow" }), sent);
    const card = { element: element("li", { "data-room": name }, title, chips), count: members, sent, chips, room: null, broadcasts };
    cards.set(name, card);
    return card;
  }

  /** @param {Card} card */
  function pulse(card) {
    if (still.matches) return;
    for (const chip of card.chips.children) {
      chip.animate([{ background: "var(--w-selected)", borderColor: "var(--w-brand)" }, {}], PULSE);
    }
  }

  /** @param {Card} card @param {Room} room */
  function fill(card, room) {
    const [name, members, shown] = room;
    const { count: broadcasts, sender } = state.broadcasts.get(name) ?? { count: 0, sender: "" };
    if (card.room !== room) {
      card.room = room;
      card.count.textContent = `${members} member${members === 1 ? "" : "s"}`;
      const chips = shown.map((id) => element("span", { class: "wslab-rooms-chip" }, id));
      if (members > shown.length) chips.push(element("span", { class: "wslab-dim" }, `and ${members - shown.length} more`));
      card.chips.replaceChildren(...chips);
    }
    for (const chip of card.chips.children) chip.classList.toggle("wslab-rooms-sender", chip.textContent === sender);
    card.sent.textContent = broadcasts ? `${broadcasts.toLocaleString()} broadcast${broadcasts === 1 ? "" : "s"}` : "";
    card.element.dataset.broadcasts = String(broadcasts);
    card.sent.title = sender ? `The last one was sent by ${sender}` : "";
    if (broadcasts > card.broadcasts) pulse(card);
    card.broadcasts = broadcasts;
  }

  function draw() {
    let place = list.firstChild;
    for (const room of state.rooms) {
      const card = cards.get(room[0]) ?? newCard(room[0], state.broadcasts.get(room[0])?.count ?? 0);
      fill(card, room);
      if (card.element === place) place = place.nextSibling;
      else list.insertBefore(card.element, place);
    }
    while (place) {
      const next = place.nextSibling;
      cards.delete(/** @type {HTMLElement} */ (place).dataset.room ?? "");
      place.remove();
      place = next;
    }
    const hidden = state.total - state.rooms.length;
    count.textContent = `${state.total}` + (hidden ? ` · ${hidden} not shown` : "");
    list.hidden = !state.rooms.length;
    empty.hidden = state.rooms.length > 0;
    root.dataset.rows = String(state.rooms.length);
  }

  return { draw };
}

export default liveView(create, receive, render);
