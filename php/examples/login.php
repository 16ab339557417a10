<?php
// The page to login-ws.php, for any web server that runs PHP. It believes any
// name: a real one would ask for a password.

session_start(['use_strict_mode' => true, 'cookie_httponly' => true, 'cookie_samesite' => 'Lax']);
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    session_regenerate_id(true); // an id from before the login may be known to others
    $_SESSION = isset($_POST['name']) && trim($_POST['name']) !== '' ? ['name' => trim($_POST['name'])] : [];
    header('Location: login.php', true, 303);
    exit;
}
$name = $_SESSION['name'] ?? null;
session_write_close();
?>
<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<title>Login</title>
<form method="post">
<?php if ($name === null) { ?>
  <label>Your name <input name="name" autocomplete="username" autofocus></label> <button>Sign in</button>
<?php } else { ?>
  Signed in as <b><?= htmlspecialchars($name) ?></b>. <button>Sign out</button>
<?php } ?>
</form>
<form id="say"><label>Message <input id="text" autocomplete="off"></label> <button>Send</button></form>
<p id="state" role="status">connecting</p>
<ol id="log"></ol>
<script>
  const $ = id => document.getElementById(id), show = (id, text) => { $(id).textContent = text; };
  const ws = new WebSocket((location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + '/ws');
  ws.onopen = () => show('state', 'connected');
  ws.onclose = e => show('state', 'closed: ' + e.code + ' ' + e.reason);
  ws.onmessage = e => { $('log').append(Object.assign(document.createElement('li'), {textContent: e.data})); };
  $('say').onsubmit = e => { e.preventDefault(); ws.send($('text').value); $('text').value = ''; };
</script>
