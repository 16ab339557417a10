"use strict";

const maxRows = 500; // older ones leave the log
const slowest = 30000; // ms between two attempts to come back

const $ = (id) => document.getElementById(id);
const rooms = Array.from(document.querySelectorAll("[data-room]"));
let room = "lobby";
let socket = null;
let me = null; // who the server says that we are; null until it has greeted
let here = []; // names
let changes = 0; // of here; what is older than that is not believed
let attempts = 0;
let timer = 0;

function setState(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

// row adds a line to the log. All that came from elsewhere goes in as text.
function row(kind, parts) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const li = document.createElement("li");
  li.className = kind;
  for (const [name, text] of parts) {
    const part = document.createElement(name === "time" ? "time" : "span");
    part.className = name;
    part.textContent = text;
    li.append(part);
  }
  log.append(li);
  while (log.children.length > maxRows) log.firstChild.remove();
  if (atEnd || kind === "own") log.scrollTop = log.scrollHeight;
}

function clock(seconds) {
  const date = seconds ? new Date(seconds * 1000) : new Date();
  return date.toTimeString().slice(0, 5);
}

function showPeople(names, n) {
  here = names;
  changes = n;
  $("people").replaceChildren(...names.map((name) => {
    const li = document.createElement("li");
    li.textContent = name === me ? name + " (you)" : name;
    return li;
  }));
}

function greeted(m) {
  me = m.came;
  attempts = 0;
  setState("open", "connected");
  $("me").textContent = me;
  $("account").hidden = $("chat").hidden = false;
  $("sign-in").hidden = true;
  showPeople(m.here, m.n);
  row("note", [["text", "You are in the " + room + "."]]);
  $("text").focus();
}

function receive(data) {
  let m = null;
  try {
    m = JSON.parse(data);
  } catch {
    // a push of plain text
  }
  if (m === null || typeof m !== "object") return row("news", [["from", "News"], ["time", clock()], ["text", data]]);
  if (me === null) return greeted(m);
  if (m.from !== undefined) {
    const via = m.by ? [["via", "by " + m.by]] : [];
    return row(m.from === me ? "own" : "other", [["from", m.from], ...via, ["time", clock(m.at)], ["text", m.text]]);
  }
  if (m.n <= changes) return; // overtaken by one that is newer
  if (m.came !== undefined && !here.includes(m.came)) row("note", [["text", m.came + " has come"]]);
  if (m.left !== undefined && !m.here.includes(m.left)) row("note", [["text", m.left + " has left"]]);
  showPeople(m.here, m.n);
}

function connect() {
  clearTimeout(timer);
  if (socket) {
    socket.onclose = socket.onmessage = null;
    socket.close(1000);
  }
  const url = new URL("ws", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ room });
  url.hash = "";
  me = null;
  setState("connecting", "connecting…");
  socket = new WebSocket(url);
  socket.onmessage = (event) => receive(event.data);
  socket.onclose = closed;
}

function closed(event) {
  socket = me = null;
  showPeople([], 0);
  if (event.code === 4401) return askName(event.reason);
  if (event.code === 4403) {
    setState("closed", "refused");
    return row("fault", [["text", event.reason]]);
  }
  // At a random time, so that not all come back in one moment.
  const wait = Math.random() * Math.min(slowest, 1000 * 2 ** attempts);
  attempts = Math.min(attempts + 1, 16);
  setState("connecting", "connection lost, back in " + Math.ceil(wait / 1000) + " s");
  timer = setTimeout(connect, wait);
}

function askName(why) {
  setState("closed", "signed out");
  $("account").hidden = $("chat").hidden = true;
  $("log").replaceChildren(); // what was said is not for whoever comes next
  $("sign-in").hidden = false;
  $("why").textContent = why;
  $("name").select(); // and gives it the focus
}

function post(page, fields) {
  return fetch(page, { method: "POST", body: new URLSearchParams(fields) });
}

function enter(next) {
  room = next;
  for (const button of rooms) button.setAttribute("aria-current", String(button.dataset.room === room));
  $("title").textContent = room[0].toUpperCase() + room.slice(1);
  $("log").replaceChildren();
  attempts = 0;
  connect();
}

// say has a message sent, and takes it out of the box once that has been done.
async function say(send) {
  const text = $("text").value;
  if (text.trim() === "") return;
  if (me === null) return row("fault", [["text", "Not connected: nothing was sent."]]);
  try {
    await send(text);
    $("text").value = "";
  } catch (error) {
    row("fault", [["text", "Not sent: " + error.message]]);
  }
  $("text").focus();
}

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  say((text) => socket.send(text));
});
$("push").addEventListener("click", () => say(async (text) => {
  const answer = await post("chat-push.php", { room, text });
  if (!answer.ok) throw new Error("the page answers " + answer.status);
}));
$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await post("chat-login.php", { name: $("name").value }).catch((error) => ({ statusText: error.message }));
  if (answer.ok) return enter(room);
  $("why").textContent = answer.status === 422 ? "Want a name of 1 to 24 characters." : "That did not work: " + (answer.statusText || answer.status);
});
$("sign-out").addEventListener("click", async () => {
  const answer = await post("chat-login.php", { name: "" }).catch(() => ({}));
  if (!answer.ok) row("fault", [["text", "That did not work; you are still signed in."]]);
});
for (const button of rooms) button.addEventListener("click", () => enter(button.dataset.room));
addEventListener("online", () => {
  if (!socket && $("sign-in").hidden) connect();
});

enter(room);
