import assert from "node:assert/strict";
import { test } from "node:test";
import { DisplayFilter, unitsOf } from "./frames_filter.js";
import { wordEnd } from "./frames_filterbox.js";
import { messageSentence } from "./frames_message.js";
import { FrameStore, NO_FILTER } from "./frames_store.js";

/** A batch's table: `whose` is a connection's number, or with `shared` the place of a list. */
function table(frames) {
  const view = new DataView(new ArrayBuffer(24 * frames.length));
  frames.forEach(({ whose = 1, shared = false }, place) => {
    view.setUint32(24 * place + 16, whose, true);
    view.setUint8(24 * place + 22, shared ? 32 : 0);
    view.setUint8(24 * place + 23, 0x81);
  });
  return new Uint8Array(view.buffer);
}

const plain = (count) => table(Array.from({ length: count }, () => ({})));

/** A filter over `count` frames, with what it asked for. */
function filterOver(count, first = 0) {
  const store = new FrameStore();
  store.add(first, plain(count), new Uint8Array());
  const sent = [];
  const filter = new DisplayFilter(store, (content) => sent.push(content));
  const answer = (more) => filter.take({ t: "filter", id: filter.id, n: filter.asked.n, g: 1, ...more });
  const tell = (match, g = 1) => filter.take({ t: "frames", g, matches: [{ id: filter.id, n: filter.applied.n, missed: 0, ...match, numbers: new Uint32Array(match.numbers) }] });
  const passing = () => Array.from({ length: store.end }, (_, index) => index).filter((index) => index < filter.known && filter.passes(index));
  return { store, sent, filter, answer, tell, passing };
}

test("a filter is in force from the answer on, and knows what it was told", () => {
  const { sent, filter, answer, tell, passing } = filterOver(10);
  filter.apply("len>1");
  assert.deepEqual(sent, [{ t: "filter", id: filter.id, n: 1, text: "len>1", from: 0 }]);
  assert.equal(filter.active, false);
  assert.equal(filter.waiting, true);
  assert.equal(answer({ first: 0 }), true);
  tell({ first: 0, next: 6, numbers: [2, 5] });
  assert.equal(filter.known, 6);
  tell({ first: 6, next: 10, numbers: [3] });
  assert.deepEqual(passing(), [2, 5, 9]);
});

test("what was said of another filter, or another rendering's, is nothing", () => {
  const { filter, answer, passing } = filterOver(10);
  filter.apply("len>1");
  filter.take({ t: "filter", id: filter.id + 1, n: 1, g: 1, first: 0 });
  assert.equal(filter.active, false);
  answer({ first: 0 });
  for (const match of [{ id: filter.id, n: 9 }, { id: 1, n: 1 }]) {
    filter.take({ t: "frames", g: 1, matches: [{ ...match, first: 0, next: 10, missed: 0, numbers: new Uint32Array([1]) }] });
  }
  assert.deepEqual(passing(), []);
});

test("a mistake leaves the filter before in force, and has its place in the page's units", () => {
  const { filter, answer, tell, passing } = filterOver(4);
  filter.apply("fin");
  answer({ first: 0 });
  filter.apply("😀 nope");
  assert.equal(answer({ error: { position: 2, message: "no" } }), false);
  assert.deepEqual(filter.mistake, { text: "😀 nope", position: 3, message: "no" });
  assert.equal(filter.applied.text, "fin");
  tell({ first: 0, next: 4, numbers: [1] });
  assert.deepEqual(passing(), [1]);
});

test("a filter that the kernel ended is over", () => {
  const { filter, answer } = filterOver(4);
  filter.apply("fin");
  answer({ first: 0 });
  assert.equal(answer({ error: { position: -1, message: "ended" } }), true);
  assert.equal(filter.active, false);
  assert.equal(filter.mistake.position, -1);
});

test("it ends at once when it is cleared", () => {
  const { sent, filter, answer, tell } = filterOver(4);
  filter.apply("fin");
  answer({ first: 0 });
  filter.apply("  ");
  assert.equal(filter.active, false);
  assert.equal(sent.at(-1).text, "");
  assert.equal(tell({ first: 0, next: 4, numbers: [1] }), false);
});

test("when another page has appeared, it is asked for again from where it was", () => {
  const { sent, filter, answer, tell, passing, store } = filterOver(6);
  filter.apply("fin");
  answer({ first: 0 });
  tell({ first: 0, next: 6, numbers: [0, 4] });
  filter.take({ t: "frames", g: 2 });
  assert.deepEqual(sent.at(-1), { t: "filter", id: filter.id, n: 1, text: "fin", from: 6 });
  filter.take({ t: "frames", g: 2 });
  assert.equal(sent.length, 2, "asked once");
  assert.equal(answer({ g: 2, first: 6 }), false);
  store.add(6, plain(2), new Uint8Array());
  tell({ first: 6, next: 8, numbers: [1] }, 2);
  assert.deepEqual(passing(), [0, 4, 7]);
});

test("frames that pass late are marked, and told once", () => {
  const { filter, answer, tell, passing } = filterOver(8, 100);
  filter.apply("text==x");
  answer({ first: 100 });
  tell({ first: 100, next: 108, numbers: [7] });
  tell({ first: 108, next: 108, late: 2, base: 101, numbers: [0, 3] });
  assert.deepEqual(passing(), [1, 4, 7]);
  assert.deepEqual(filter.takeLate(), [1, 4]);
  assert.deepEqual(filter.takeLate(), []);
});

test("frames that the kernel did not have any more are counted", () => {
  const { filter, answer, tell, store } = filterOver(10, 50);
  filter.apply("fin");
  answer({ first: 56 });
  tell({ first: 56, next: 60, missed: 2, numbers: [] });
  assert.equal(filter.unsearched(store.begin), 8);
});

test("a frame that went to several connections belongs to each of them", () => {
  const store = new FrameStore();
  const owners = new Uint8Array(new Uint32Array([3, 7, 8, 9]).buffer);
  store.add(0, table([{ whose: 0, shared: true }, { whose: 8 }]), new Uint8Array(), owners);
  const of = (connection) => [0, 1].filter((index) => store.matches(index, { ...NO_FILTER, connection }));
  assert.deepEqual([of(7), of(8), of(9), of(1)], [[0], [0, 1], [0], []]);
  assert.equal(store.connection[0], 7);
  assert.equal(store.owners[0].length, 3);
});

test("a number of a frame leads to its index, also beside a gap", () => {
  const store = new FrameStore();
  store.add(10, plain(3), new Uint8Array());
  store.add(20, plain(3), new Uint8Array());
  assert.deepEqual([10, 12, 13, 20, 22, 99].map((seq) => store.indexOf(seq)), [0, 2, 3, 3, 5, 6]);
});

test("characters are counted as Python does", () => {
  assert.deepEqual([0, 1, 2, 3, 9].map((characters) => unitsOf("a😀b", characters)), [0, 1, 3, 4, 4]);
});

test("the word at a mistake is what is underlined", () => {
  const word = (text, position) => text.slice(position, wordEnd(text, position));
  assert.equal(word('len=="x y" && fin', 5), '"x y"');
  assert.equal(word("nope.at[0]==1", 0), "nope.at[0]");
  assert.equal(word("a == b", 2), "==");
  assert.equal(word("ab", 2), "");
  assert.equal(word('"never closed', 0), '"never closed');
});

test("a message is described by its parts and its sizes", () => {
  const message = { part: 2, count: 3, open: false, name: "TEXT", carried: "5000", length: 5000, compressed: false, problem: "" };
  assert.equal(messageSentence(message), "Part 2 of 3 of a TEXT message: 5,000 bytes.");
  assert.equal(messageSentence({ ...message, compressed: true, length: 9876 }), "Part 2 of 3 of a TEXT message, inflated: 5,000 → 9,876 bytes.");
  assert.equal(messageSentence({ ...message, open: true }), "Part 2 of a TEXT message that has not ended; 3 so far: 5,000 bytes.");
  assert.equal(messageSentence({ ...message, part: 1, count: 1 }), "All of a TEXT message: 5,000 bytes.");
  assert.equal(messageSentence({ ...message, name: "BINARY", compressed: true, problem: "lost" }), "Part 2 of 3 of a BINARY message, compressed: 5,000 bytes.");
});
