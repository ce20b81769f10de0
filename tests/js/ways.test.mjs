import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "./fakes.mjs";
import { basePath, obstacle, reach, target } from "./ways.js";

let labs = 0;
/** A lab of its own for each test: what worked is remembered by lab. */
const lab = (more = {}) => ({ port: 8123, token: "s3 cret", base_url: "/user/ada/", direct: "ws://127.0.0.1:8123", probe: `/.wslab/${labs++}`, answer: "mine", ...more });

/** The browser's WebSocket, decided by `fate(url)`: "open", "refused" or "silent". */
function page({ url = "http://127.0.0.1:8888/lab", answers = () => "mine", fate = () => "open", base = null } = {}) {
  const made = [];
  const asked = [];
  class FakeWebSocket extends EventTarget {
    constructor(address, protocols) {
      super();
      if (fate(address) === "throws") throw new Error(`no, not ${address}`);
      made.push({ url: address, protocols, socket: this });
      setImmediate(() => {
        if (fate(address) === "open") this.dispatchEvent(new Event("open"));
        if (fate(address) === "refused") this.dispatchEvent(new CloseEvent("close", { code: 1006 }));
      });
    }
    close() {
      this.closed = true;
    }
  }
  const { protocol, hostname, host } = new URL(url);
  return { made, asked, location: { protocol, hostname, host }, WebSocket: FakeWebSocket, config: () => base && JSON.stringify({ baseUrl: base }),
    fetch: (asking, { signal, credentials }) => {
      asked.push([asking, credentials]);
      const answer = answers(asking);
      if (answer === "never") return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
      if (answer === null) return Promise.reject(new TypeError("Failed to fetch"));
      if (typeof answer === "number") return Promise.resolve(new Response("", { status: answer }));
      return Promise.resolve(new Response(answer));
    } };
}

/** A model whose kernel accepts every tunnel, or refuses it. */
function model({ refusing = false } = {}) {
  const made = new FakeModel();
  const send = made.send.bind(made);
  made.send = (content, ...more) => {
    send(content, ...more);
    if (content.op === "open") setImmediate(() => made.kernel(refusing ? { op: "refused", status: 404, reason: "No endpoint." } : { op: "open", protocol: content.protocols[0] ?? "" }));
  };
  return made;
}

const whys = ({ skipped }) => Object.fromEntries(skipped.map(({ way, why }) => [way, why]));

test("a page on the kernel's machine goes directly, with the token, and shows the address without it", async () => {
  const surroundings = page();
  const address = lab();
  const reached = await reach(model(), address, "/echo?x=1", { page: surroundings, protocols: ["chat"] });
  assert.deepEqual([reached.way, reached.shown, reached.problem, reached.skipped], ["direct", "ws://127.0.0.1:8123/echo?x=1", "", []]);
  assert.deepEqual(surroundings.asked, [[`http://127.0.0.1:8123${address.probe}`, "omit"]]);
  assert.deepEqual(surroundings.made.map(({ url, protocols }) => [url, protocols]), [["ws://127.0.0.1:8123/echo?x=1&lab_token=s3%20cret", ["chat"]]]);
  assert.equal(reached.socket, surroundings.made[0].socket);
});

test("the token is not sent to whatever else listens at that port", async () => {
  const surroundings = page({ answers: (url) => (url.includes("8123/.") && !url.includes("proxy") ? "hello from somebody else" : "mine") });
  const reached = await reach(model(), lab(), "/echo", { page: surroundings });
  assert.equal(reached.way, "proxy");
  assert.match(whys(reached).direct, /Something else than this lab/);
  assert.ok(surroundings.made.every(({ url }) => url.includes("/proxy/")));
});

test("a page from elsewhere does not even try its own machine", async () => {
  const surroundings = page({ url: "http://hub.example.org:8000/user/ada/lab" });
  const address = lab();
  const reached = await reach(model(), address, "/echo", { page: surroundings });
  assert.deepEqual([reached.way, reached.shown], ["proxy", "ws://hub.example.org:8000/user/ada/proxy/8123/echo"]);
  assert.match(whys(reached).direct, /another machine/);
  assert.deepEqual(surroundings.asked, [[`http://hub.example.org:8000/user/ada/proxy/8123${address.probe}`, "same-origin"]]);
});

test("under https it is wss through the proxy, and never a bare address", async () => {
  const surroundings = page({ url: "https://hub.example.org/user/ada/lab" });
  const reached = await reach(model(), lab(), "/echo", { page: surroundings });
  assert.equal(reached.shown, "wss://hub.example.org/user/ada/proxy/8123/echo");
  assert.match(whys(reached).direct, /https/);
  assert.ok(surroundings.asked.every(([url]) => url.startsWith("https:")));
});

test("where neither is, the tunnel is", async () => {
  const kernel = model();
  const reached = await reach(kernel, lab({ base_url: null }), "/echo?x=1", { page: page({ url: "https://colab.example/x" }), protocols: ["chat"] });
  assert.deepEqual([reached.way, reached.shown, reached.socket.protocol], ["tunnel", "tunnel:/echo?x=1", "chat"]);
  assert.deepEqual(Object.keys(whys(reached)), ["direct", "proxy"]);
  assert.deepEqual(kernel.ops("open"), [{ op: "open", path: "/echo?x=1", protocols: ["chat"] }]);
});

test("a lab without a port has the tunnel still", async () => {
  const reached = await reach(model(), lab({ port: 0 }), "/echo", { page: page() });
  assert.equal(reached.way, "tunnel");
  assert.match(whys(reached).direct, /no port/);
});

for (const [answer, words] of [[404, /HTTP 404/], [null, /Nothing answers/], ["never", /in time/], ["<html>", /Something else/]]) {
  test(`a proxy that answers ${answer} is passed by, in bounded time`, async () => {
    const reached = await reach(model(), lab(), "/echo", { page: page({ answers: () => answer }), seconds: 0.05 });
    assert.equal(reached.way, "tunnel");
    assert.match(whys(reached).proxy, words);
    assert.match(whys(reached).direct, words);
  });
}

test("a proxy that passes requests and no WebSockets is passed by", async () => {
  const surroundings = page({ url: "https://colab.example/x", fate: () => "refused" });
  const reached = await reach(model(), lab(), "/echo", { page: surroundings });
  assert.equal(reached.way, "tunnel");
  assert.match(whys(reached).proxy, /no WebSocket/);
});

test("a handshake that hangs at the proxy is given up, and its socket closed", async () => {
  const surroundings = page({ url: "https://colab.example/x", fate: () => "silent" });
  const reached = await reach(model(), lab(), "/echo", { page: surroundings, seconds: 0.05 });
  assert.equal(reached.way, "tunnel");
  assert.ok(surroundings.made[0].socket.closed);
});

test("what the server refuses directly is not asked again another way", async () => {
  const kernel = model();
  const surroundings = page({ fate: () => "refused" });
  const reached = await reach(kernel, lab(), "/nowhere", { page: surroundings });
  assert.deepEqual([reached.socket, reached.way, surroundings.made.length, kernel.ops("open").length], [null, "direct", 1, 0]);
  assert.match(reached.problem, /refused/);
});

test("the tunnel says why the server refused", async () => {
  const reached = await reach(model({ refusing: true }), lab({ port: 0 }), "/nowhere", { page: page() });
  assert.equal(reached.problem, "The handshake was refused with HTTP 404: No endpoint.");
});

test("a way that was chosen is the only one tried", async () => {
  const surroundings = page();
  assert.equal((await reach(model(), lab(), "/echo", { page: surroundings, only: "proxy" })).way, "proxy");
  assert.equal((await reach(model(), lab(), "/echo", { page: surroundings, only: "tunnel" })).way, "tunnel");
  const none = await reach(model(), lab(), "/echo", { page: page({ answers: () => null }), only: "direct" });
  assert.deepEqual([none.socket, none.way], [null, ""]);
  assert.match(none.problem, /No way leads to the lab\. direct: Nothing answers/);
  const refused = await reach(model(), lab(), "/echo", { page: page({ fate: () => "refused" }), only: "proxy" });
  assert.deepEqual([refused.socket, refused.way], [null, "proxy"]);
});

test("what worked is tried first the next time, and by this lab only", async () => {
  const address = lab();
  const noDirect = page({ answers: (url) => (url.includes("proxy") ? "mine" : null) });
  assert.equal((await reach(model(), address, "/a", { page: noDirect })).way, "proxy");
  assert.equal(noDirect.asked.length, 2);
  const again = await reach(model(), address, "/b", { page: noDirect });
  assert.deepEqual([again.way, again.skipped, noDirect.asked.length], ["proxy", [], 3]);
  await reach(model(), lab(), "/a", { page: noDirect });
  assert.equal(noDirect.asked.length, 5);
});

test("what worked and does not any more is found anew", async () => {
  const address = lab();
  let proxied = true;
  const surroundings = page({ answers: (url) => (url.includes("proxy") === proxied ? "mine" : null) });
  assert.equal((await reach(model(), address, "/a", { page: surroundings })).way, "proxy");
  proxied = false;
  assert.equal((await reach(model(), address, "/a", { page: surroundings })).way, "direct");
});

test("no message is lost between the open event and the listener", async () => {
  const kernel = new FakeModel();
  const heard = [];
  const opened = (socket) => socket.addEventListener("message", ({ data }) => heard.push(data));
  const send = kernel.send.bind(kernel);
  kernel.send = (content, ...more) => {
    send(content, ...more);
    if (content.op === "open") setImmediate(() => {
      kernel.kernel({ op: "open", protocol: "" });
      kernel.kernel({ op: "data", n: 1, messages: ["at once"] });
    });
  };
  const reached = await reach(kernel, lab({ port: 0 }), "/", { page: page(), opened });
  assert.deepEqual([reached.way, heard], ["tunnel", ["at once"]]);
});

test("who gives up gets nothing, whatever was under way", async () => {
  const giving = new AbortController();
  const surroundings = page({ fate: () => "silent" });
  const trying = () => setImmediate(() => giving.abort());
  const reached = await reach(model(), lab(), "/", { page: surroundings, signal: giving.signal, trying });
  assert.deepEqual([reached.socket, reached.problem, surroundings.made.length, surroundings.made[0].socket.closed], [null, "given up", 1, true]);
  const before = new AbortController();
  before.abort();
  assert.equal((await reach(model(), lab(), "/", { page: page(), signal: before.signal })).problem, "given up");
});

test("an address the browser refuses is shown without the token", async () => {
  const reached = await reach(model(), lab(), "/echo", { page: page({ fate: () => "throws" }) });
  assert.equal(reached.problem, "The browser refuses to open a WebSocket to ws://127.0.0.1:8123/echo.");
});

test("the base is the page's own word, then the kernel's", () => {
  assert.equal(basePath(page({ base: "/page/" }), lab()), "/page/");
  assert.equal(basePath(page(), lab({ base_url: "user/ada" })), "/user/ada/");
  assert.equal(basePath(page(), lab({ base_url: null })), null);
  assert.equal(basePath({ ...page(), config: () => "no JSON" }, lab()), "/user/ada/");
  assert.equal(basePath({ ...page(), config: () => '{"baseUrl": 7}' }, lab()), "/user/ada/");
});

for (const [url, wanted] of [["http://localhost:1/", ""], ["http://[::1]:1/", ""], ["http://127.9.0.1/", ""], ["vscode-webview://abc/", ""],
  ["http://127.0.0.1.example.org/", "another machine"], ["http://192.168.0.7/", "another machine"], ["https://localhost/", "https"]]) {
  test(`direct from ${url}: ${wanted || "worth a try"}`, () => {
    assert.ok(wanted ? obstacle("direct", lab(), page({ url })).includes(wanted) : obstacle("direct", lab(), page({ url })) === "");
  });
}

test("a page that is no web page has no proxy", () => {
  assert.match(obstacle("proxy", lab(), page({ url: "vscode-webview://abc/" })), /Jupyter server/);
  assert.match(obstacle("proxy", lab({ base_url: null }), page()), /No Jupyter server/);
});

test("a path's own query is kept as it is", () => {
  const { url, shown } = target("direct", lab(), page(), "/a?b=%2f+c");
  assert.deepEqual([url, shown], ["ws://127.0.0.1:8123/a?b=%2f+c&lab_token=s3%20cret", "ws://127.0.0.1:8123/a?b=%2f+c"]);
});
