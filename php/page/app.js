"use strict";

const maxRows = 500; // older ones leave the log
const maxShown = 65536; // characters of a payload
const maxPast = 100;

// What close codes mean, RFC 6455 section 7.4 and IANA's registry.
const closeCodes = {
  1000: "normal: the purpose was fulfilled",
  1001: "going away: the server stops or the page was left",
  1002: "protocol error",
  1003: "a kind of data that can't be accepted",
  1005: "closed without a code",
  1006: "the connection was lost or never came about; the browser doesn't say why",
  1007: "text that is not UTF-8",
  1008: "against the server's policy",
  1009: "a message too big",
  1010: "an extension is missing",
  1011: "the server met an error",
  1012: "the server restarts",
  1013: "overloaded, try again later",
  1014: "a bad answer from the server behind",
  1015: "TLS failed",
};

const $ = (id) => document.getElementById(id);
const rows = $("log").tBodies[0];
const past = [];
let recalled = 0; // index into past; its length means the text being written
let draft = "";
let socket = null;
let waiting = []; // when the messages were sent that have no answer yet
let sent = 0;
let received = 0;

function explain(code) {
  if (closeCodes[code]) return closeCodes[code];
  if (code >= 3000 && code <= 3999) return "a registered library's own code";
  if (code >= 4000 && code <= 4999) return "the application's own code";
  return "an unknown code";
}

function setState(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
  $("connect").disabled = state !== "closed";
  $("disconnect").disabled = state === "closed" || state === "closing";
  $("send").disabled = state !== "open";
  $("url").readOnly = state !== "closed";
  $("route").disabled = state !== "closed";
}

function size(bytes) {
  if (bytes < 1000) return bytes + " B";
  if (bytes < 1000000) return (bytes / 1000).toFixed(1) + " kB";
  return (bytes / 1000000).toFixed(1) + " MB";
}

function hex(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length && at < maxShown / 4; at += 16) {
    const part = Array.from(bytes.subarray(at, at + 16));
    const digits = part.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const letters = part.map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) : "·")).join("");
    lines.push(bytes.length > 16 ? digits.padEnd(49) + letters : digits + "   " + letters);
  }
  return lines.join("\n");
}

function pretty(text) {
  if (text === "") return "(empty)";
  if (/^\s*[[{]/.test(text) && text.length <= maxShown) {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text; // it only looked like JSON
    }
  }
  return text.length > maxShown ? text.slice(0, maxShown) + "…" : text;
}

function clock(date) {
  return date.toTimeString().slice(0, 8) + "." + String(date.getMilliseconds()).padStart(3, "0");
}

function cell(row, name, text) {
  const td = document.createElement("td");
  td.className = name;
  td.textContent = text;
  row.append(td);
  return td;
}

// add appends a row to the log. All that came from elsewhere goes in as text.
function add(kind, opcode, bytes, trip, payload) {
  const scroller = $("scroller");
  const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
  const row = document.createElement("tr");
  row.dataset.kind = kind;
  cell(row, "time", clock(new Date()));
  const direction = cell(row, "direction", "");
  const mark = document.createElement("span");
  mark.title = { sent: "sent", received: "received", note: "connection", fault: "connection" }[kind];
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", mark.title);
  mark.textContent = { sent: "↑", received: "↓", note: "•", fault: "•" }[kind];
  direction.append(mark);
  cell(row, "opcode", opcode);
  cell(row, "size number", bytes === null ? "" : size(bytes));
  cell(row, "trip number", trip === null ? "" : trip.toFixed(trip < 100 ? 1 : 0) + " ms");
  const pre = document.createElement("pre");
  pre.textContent = payload;
  const td = cell(row, "payload", "");
  td.append(pre);
  rows.append(row);
  while (rows.rows.length > maxRows) rows.rows[0].remove();
  if (pre.scrollHeight > pre.clientHeight + 1) fold(td, pre);
  if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  $("empty").hidden = true;
  $("totals").textContent = sent + " sent, " + received + " received";
}

// fold gives a long payload a button that shows the rest of it.
function fold(td, pre) {
  const button = document.createElement("button");
  const set = (open) => {
    pre.classList.toggle("open", open);
    pre.classList.toggle("folded", !open);
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Show less" : "Show all";
  };
  button.type = "button";
  button.className = "fold";
  button.addEventListener("click", () => set(!pre.classList.contains("open")));
  td.append(button);
  set(false);
}

function connect() {
  const url = $("url").value.trim();
  let ws;
  try {
    ws = new WebSocket(url);
  } catch (error) {
    add("fault", "error", null, null, error.message);
    return;
  }
  const begun = performance.now();
  let opened = false;
  ws.binaryType = "arraybuffer";
  socket = ws;
  waiting = [];
  setState("connecting", "connecting…");
  ws.onopen = () => {
    opened = true;
    setState("open", "connected");
    add("note", "open", null, performance.now() - begun, "connected to " + url);
    $("message").focus();
  };
  ws.onmessage = (event) => receive(event.data);
  ws.onclose = (event) => {
    socket = null;
    setState("closed", "disconnected");
    let text = event.code + " " + explain(event.code);
    if (event.reason) text += "\nreason: " + event.reason;
    if (!opened) text = "could not connect to " + url + "\n" + text;
    if (waiting.length) text += "\n" + waiting.length + " not answered";
    waiting = [];
    add(event.code === 1000 || event.code === 1005 ? "note" : "fault", "close", null, null, text);
    $("announce").textContent = "Closed, code " + text;
  };
}

function receive(data) {
  const trip = waiting.length ? performance.now() - waiting.shift() : null;
  received++;
  if (typeof data === "string") {
    const bytes = new TextEncoder().encode(data).length;
    add("received", "text", bytes, trip, pretty(data));
    $("announce").textContent = "Received " + size(bytes) + " of text";
  } else {
    add("received", "binary", data.byteLength, trip, hex(new Uint8Array(data)) || "(empty)");
    $("announce").textContent = "Received " + size(data.byteLength) + " of binary";
  }
}

// parseBytes reads a binary message: 0x and hexadecimal digits, or else the
// UTF-8 of the text itself.
function parseBytes(text) {
  const digits = text.trim().replace(/^0x/i, "").replace(/\s+(0x)?|,/gi, "");
  if (!/^\s*0x/i.test(text) || !/^([0-9a-f]{2})*$/i.test(digits)) {
    return new TextEncoder().encode(text);
  }
  return Uint8Array.from(digits.match(/../g) || [], (pair) => parseInt(pair, 16));
}

function send() {
  if (!socket || socket.readyState !== WebSocket.OPEN) {
    add("note", "", null, null, "not connected: nothing was sent");
    $("announce").textContent = "Not connected: nothing was sent";
    return;
  }
  const text = $("message").value;
  const binary = $("opcode-binary").checked;
  const bytes = binary ? parseBytes(text) : new TextEncoder().encode(text);
  waiting.push(performance.now());
  socket.send(binary ? bytes : text);
  sent++;
  if (binary) add("sent", "binary", bytes.length, null, hex(bytes) || "(empty)");
  else add("sent", "text", bytes.length, null, pretty(text));
  if (text !== "" && past[past.length - 1] !== text) past.push(text);
  if (past.length > maxPast) past.shift();
  recalled = past.length;
  $("message").select();
}

// recall puts an earlier (-1) or later (+1) message in the box, if there is one.
function recall(step) {
  const box = $("message");
  let next = recalled + step;
  if (step < 0 && recalled === past.length) {
    draft = box.value;
    if (past[next] === draft) next--; // it is still in the box
  }
  if (next < 0 || next > past.length) return;
  recalled = next;
  box.value = next === past.length ? draft : past[next];
  box.setSelectionRange(box.value.length, box.value.length);
}

function onKey(event) {
  const box = event.target;
  const before = box.value.slice(0, box.selectionStart);
  const after = box.value.slice(box.selectionEnd);
  if (event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && !before.includes("\n") && past.length) {
    event.preventDefault();
    recall(-1);
  } else if (event.key === "ArrowDown" && !after.includes("\n") && recalled < past.length) {
    event.preventDefault();
    recall(+1);
  }
}

function address(path) {
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  return scheme + (location.host || "127.0.0.1:8080") + path;
}

// matchRoute shows in the menu which route the address is, if any.
function matchRoute() {
  const route = Array.from($("route").options).find((o) => o.value && address(o.value) === $("url").value.trim());
  $("route").value = route ? route.value : "";
}

$("connection").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!socket) connect();
});
$("disconnect").addEventListener("click", () => {
  setState("closing", "closing…");
  socket.close(1000);
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
$("message").addEventListener("keydown", onKey);
$("route").addEventListener("change", () => ($("url").value = address($("route").value)));
$("url").addEventListener("input", matchRoute);
$("clear").addEventListener("click", () => {
  rows.replaceChildren();
  sent = received = 0;
  $("totals").textContent = "";
  $("empty").hidden = false;
});

$("url").value = address("/ws/");
matchRoute();
setState("closed", "disconnected");
