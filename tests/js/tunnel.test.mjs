import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "./fakes.mjs";
import { TunnelSocket } from "./tunnel.js";

function open(path = "/echo", protocols = []) {
  const model = new FakeModel();
  const socket = new TunnelSocket(model, path, protocols);
  const events = [];
  for (const type of ["open", "message", "error", "close"]) socket.addEventListener(type, (event) => events.push(event));
  model.kernel({ op: "open", protocol: protocols[0] ?? "" });
  return { model, socket, events };
}

const types = (events) => events.map(({ type }) => type);
const bytes = (...values) => new DataView(Uint8Array.from([9, ...values, 9]).buffer, 1, values.length);

test("it has the constants and the first state of a WebSocket", () => {
  const model = new FakeModel();
  const socket = new TunnelSocket(model, "/a b?q=ä", ["one", "two"]);
  assert.deepEqual([TunnelSocket.CONNECTING, socket.OPEN, socket.CLOSING, TunnelSocket.CLOSED], [0, 1, 2, 3]);
  assert.deepEqual([socket.readyState, socket.protocol, socket.extensions, socket.bufferedAmount, socket.binaryType], [0, "", "", 0, "blob"]);
  assert.deepEqual(model.ops(), [{ op: "open", path: "/a%20b?q=%C3%A4", protocols: ["one", "two"] }]);
  assert.equal(socket.url, "tunnel:/a%20b?q=%C3%A4");
  assert.throws(() => socket.send("x"), { name: "InvalidStateError" });
});

test("a fragment and subprotocols that are none are refused as a browser does", () => {
  assert.throws(() => new TunnelSocket(new FakeModel(), "/a#b"), { name: "SyntaxError" });
  assert.throws(() => new TunnelSocket(new FakeModel(), "/a#"), { name: "SyntaxError" });
  assert.throws(() => new TunnelSocket(new FakeModel(), "/", ["a", "a"]), { name: "SyntaxError" });
  assert.throws(() => new TunnelSocket(new FakeModel(), "/", "a b"), { name: "SyntaxError" });
});

test("it opens with the subprotocol the server chose", () => {
  const { socket, events } = open("/echo", ["chat"]);
  assert.deepEqual([socket.readyState, socket.protocol, types(events)], [1, "chat", ["open"]]);
});

test("text and bytes go out with their kind, copied, in order", async () => {
  const { model, socket } = open();
  const array = Uint8Array.from([1, 2, 3, 4]);
  socket.send("ä");
  socket.send(array.subarray(1, 3));
  socket.send(new Blob([Uint8Array.from([7])]));
  socket.send("after the blob");
  array.fill(0);
  while (model.ops("send").length < 4) await new Promise(setImmediate);
  assert.deepEqual(model.ops("send"), [{ op: "send", n: 1, text: "ä" }, { op: "send", n: 2 }, { op: "send", n: 3 }, { op: "send", n: 4, text: "after the blob" }]);
  assert.deepEqual(model.sent.slice(1).map(({ buffers }) => buffers.map((buffer) => [...new Uint8Array(buffer)])), [[], [[2, 3]], [[7]], []]);
  assert.equal(socket.bufferedAmount, 0);
});

test("a lone surrogate becomes U+FFFD, as in a browser's socket", () => {
  const { model, socket } = open();
  socket.send("a\ud800b 😀");
  assert.equal(model.ops("send")[0].text, "a\ufffdb 😀");
});

test("messages arrive in order, text as text and bytes as the kind that was asked for", async () => {
  const { model, socket, events } = open();
  model.kernel({ op: "data", n: 1, messages: ["one", null, "two"] }, [bytes(1, 2)]);
  socket.binaryType = "arraybuffer";
  model.kernel({ op: "data", n: 2, messages: [null] }, [bytes(3)]);
  const data = events.filter(({ type }) => type === "message").map((event) => event.data);
  assert.deepEqual([data[0], data[2]], ["one", "two"]);
  assert.ok(data[1] instanceof Blob);
  assert.deepEqual([...new Uint8Array(await data[1].arrayBuffer())], [1, 2]);
  assert.ok(data[3] instanceof ArrayBuffer);
  assert.deepEqual([...new Uint8Array(data[3])], [3]);
});

test("on… handlers are called, replaced and taken away", () => {
  const { model, socket } = open();
  const heard = [];
  socket.onmessage = ({ data }) => heard.push(`first ${data}`);
  model.kernel({ op: "data", n: 1, messages: ["a"] });
  socket.onmessage = ({ data }) => heard.push(`second ${data}`);
  model.kernel({ op: "data", n: 2, messages: ["b"] });
  socket.onmessage = null;
  model.kernel({ op: "data", n: 3, messages: ["c"] });
  assert.deepEqual(heard, ["first a", "second b"]);
  assert.equal(socket.onmessage, null);
});

test("messages of another tunnel, and the view's own, are not its business", () => {
  const { model, events } = open();
  model.trigger("msg:custom", { t: "tunnel", id: -1, op: "close", n: null, code: 1000, reason: "" }, []);
  model.trigger("msg:custom", { t: "setup", s: 1 }, []);
  assert.deepEqual(types(events), ["open"]);
});

test("the server's close is told with code and reason, after the last message", () => {
  const { model, socket, events } = open();
  model.kernel({ op: "data", n: 1, messages: ["last words"] });
  model.kernel({ op: "close", n: 1, code: 4001, reason: "because" });
  assert.deepEqual(types(events), ["open", "message", "close"]);
  const { code, reason, wasClean } = events[2];
  assert.deepEqual([code, reason, wasClean, socket.readyState], [4001, "because", true, 3]);
  assert.equal(model.listeners, 0, "nothing is left behind");
});

test("close() waits for what was sent before it, and tells the page what the server answered", () => {
  const { model, socket, events } = open();
  socket.send("first");
  socket.close(4002, "bye");
  socket.close();
  assert.equal(socket.readyState, 2);
  socket.send("too late");
  assert.deepEqual(model.ops().slice(1), [{ op: "send", n: 1, text: "first" }, { op: "close", code: 4002, reason: "bye" }]);
  assert.equal(socket.bufferedAmount, 8);
  model.kernel({ op: "data", n: 1, messages: ["not heard any more"] });
  model.kernel({ op: "close", n: 1, code: 4002, reason: "bye" });
  assert.deepEqual([types(events), events[1].code], [["open", "close"], 4002]);
});

test("close() without a code sends none", () => {
  const { model, socket } = open();
  socket.close();
  assert.deepEqual(model.ops("close"), [{ op: "close", code: null, reason: "" }]);
});

test("codes and reasons that a page may not send are refused", () => {
  const { socket } = open();
  for (const code of [1001, 1006, 2999, 5000]) assert.throws(() => socket.close(code), { name: "InvalidAccessError" });
  assert.throws(() => socket.close(1000, "é".repeat(62)), { name: "SyntaxError" });
  assert.equal(socket.readyState, 1);
});

test("closing before it is open gives up", async () => {
  const model = new FakeModel();
  const socket = new TunnelSocket(model, "/");
  const ended = new Promise((resolve) => socket.addEventListener("close", resolve));
  socket.close();
  assert.equal((await ended).code, 1006);
  assert.deepEqual(model.ops("abort"), [{ op: "abort" }]);
});

test("a refusal is an error and 1006, and says what a browser would not", () => {
  const model = new FakeModel();
  const socket = new TunnelSocket(model, "/nowhere");
  const events = [];
  for (const type of ["error", "close"]) socket.addEventListener(type, (event) => events.push(event));
  model.kernel({ op: "refused", status: 404, reason: "No endpoint." });
  assert.deepEqual([types(events), events[1].code, events[1].wasClean], [["error", "close"], 1006, false]);
  assert.deepEqual(socket.refusal, { status: 404, reason: "No endpoint." });
});

test("a batch that is missing ends it with 1006, and the kernel is told", () => {
  const { model, events } = open();
  model.kernel({ op: "data", n: 1, messages: ["a"] });
  model.kernel({ op: "data", n: 3, messages: ["c"] });
  assert.deepEqual(types(events), ["open", "message", "error", "close"]);
  assert.equal(events[3].code, 1006);
  assert.equal(model.ops("abort").length, 1);
});

test("a last batch that is missing is no clean end", () => {
  const { model, events } = open();
  model.kernel({ op: "close", n: 1, code: 1000, reason: "" });
  assert.equal(events.at(-1).code, 1006);
});

for (const event of ["comm:close", "comm_live_update", "destroy"]) {
  test(`${event} of the model is 1006`, () => {
    const { model, socket, events } = open();
    model.trigger(event);
    model.trigger(event);
    assert.deepEqual([types(events), events.at(-1).code, socket.readyState], [["open", "error", "close"], 1006, 3]);
  });
}

test("what is not acknowledged is bounded, the rest waits in the page", () => {
  const { model, socket } = open();
  const text = "x".repeat(10_000);
  for (let n = 0; n < 100; n++) socket.send(text);
  const before = model.ops("send").length;
  assert.ok(before * 10_000 >= 2 ** 18 - 10_064 && before < 30, `${before} were sent`);
  assert.equal(socket.bufferedAmount, (100 - before) * 10_000);
  model.kernel({ op: "got", n: 16 });
  assert.equal(model.ops("send").length, before + 16);
  for (let n = 32; n <= 112; n += 16) model.kernel({ op: "got", n });
  assert.deepEqual([model.ops("send").length, socket.bufferedAmount], [100, 0]);
  assert.deepEqual(model.ops("send").map(({ n }) => n), Array.from({ length: 100 }, (_, index) => index + 1));
});

test("what arrives is acknowledged by number and by size, before anybody looks at it", () => {
  const { model, socket } = open();
  socket.onmessage = () => assert.ok(model.ops("got").length <= 2);
  for (let n = 1; n <= 16; n++) model.kernel({ op: "data", n, messages: ["x"] });
  assert.deepEqual(model.ops("got"), [{ op: "got", n: 16 }]);
  model.kernel({ op: "data", n: 17, messages: ["y".repeat(70_000)] });
  assert.deepEqual(model.ops("got"), [{ op: "got", n: 16 }, { op: "got", n: 17 }]);
});

test("a beat is answered at once", () => {
  const { model } = open();
  model.kernel({ op: "beat" });
  assert.deepEqual(model.ops("beat"), [{ op: "beat" }]);
});

test("a message that would break Jupyter's own socket is not sent", () => {
  const { model, socket, events } = open();
  socket.send(new ArrayBuffer(8 * 2 ** 20 + 1));
  assert.deepEqual([events.at(-1).code, model.ops("send").length, model.ops("abort").length], [1009, 0, 1]);
});

test("two tunnels of one model are two", () => {
  const model = new FakeModel();
  const sockets = [new TunnelSocket(model, "/a"), new TunnelSocket(model, "/b")];
  const [first, second] = model.sent.map(({ id }) => id);
  assert.notEqual(first, second);
  model.trigger("msg:custom", { t: "tunnel", id: second, op: "open", protocol: "" }, []);
  assert.deepEqual(sockets.map(({ readyState }) => readyState), [0, 1]);
});
